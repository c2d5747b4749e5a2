/** A mount namespace for one child: what is mounted there is gone with it, whatever happens to this process. */

import { closeSync, openSync } from "node:fs";
import { CLONE, MS } from "./constants.ts";
import type { Host } from "./host.ts";

/**
 * Runs `act` in a new mount namespace and comes back; a child that `act` has started stays there. Synchronous, on the main thread: until the return nothing else of
 * this process runs, and its other threads are where they were (unshare(2), setns(2)). Throws SYSTEM_CALL.
 */
export function inOwnMounts<T>(host: Host, act: () => T): T {
  const home = openSync("/proc/self/ns/mnt", "r");
  const directory = process.cwd();
  try {
    host.unshare(CLONE.NEWNS);
    try {
      host.mount(null, "/", null, MS.REC | MS.PRIVATE, null);
      return act();
    } finally {
      host.setns(home, CLONE.NEWNS);
      host.chdir(directory); // setns(2) has moved it to the root.
    }
  } finally {
    closeSync(home);
  }
}
