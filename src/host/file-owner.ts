/**
 * Making files for somebody else: what rkt writes into a pod with a user namespace belongs to the pod's root from the first moment. (Made as the host's root and
 * given away after, a file would for a moment be one that nobody in the pod owns, and each place that makes one would have to think of it.)
 */

import { type IdRange, idOnHost } from "../core/id-range.ts";
import type { Host } from "./host.ts";

/**
 * Runs `act` so that what it makes belongs to the root of `range`; without a range just runs it. Synchronous, on the main thread: the owner of new files is a
 * property of the thread (setfsuid(2)); programs that it starts have it not.
 */
export function asFileOwner<T>(host: Pick<Host, "setFileOwner">, range: IdRange | undefined, act: () => T): T {
  if (range === undefined) return act();
  const root = idOnHost(range, 0);
  host.setFileOwner(root, root);
  try {
    return act();
  } finally {
    host.setFileOwner(0, 0);
  }
}
