/**
 * cas/imagelocks/fetch: shared while an image is fetched and until it has its record, exclusive while blobs without a record are collected. Without it such a blob could
 * belong to a fetch that goes on for hours.
 */

import { closeSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { openBeneath } from "../host/beneath.ts";
import { lockWithBackoff, tryLock } from "../host/lock.ts";
import { isErrno, O } from "../host/mod.ts";
import { inCas, openStore, type Store, type StoreOptions } from "./files.ts";

const LONGEST_WAIT = 30_000;

/** Runs `fetch` under the lock, shared. A caller who may not write to the store fetches nothing, and needs none. Throws CONFLICT after half a minute, and what `fetch` throws. */
export async function whileFetching<T>(
  dataDir: DataDir,
  fetch: () => Promise<T>,
  options: StoreOptions = {},
): Promise<T> {
  const store = openStore(dataDir, options);
  const fd = openLock(store, O.CREAT);
  try {
    if (fd !== undefined)
      await lockWithBackoff(store.host, fd, "shared", { what: "the image store", timeout: LONGEST_WAIT });
    return await fetch();
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Takes the lock, exclusive, unless a fetch is going on (undefined then). */
export function tryFetchLock(store: Store): (() => void) | undefined {
  const fd = openLock(store, 0);
  // Nobody has ever fetched, or the caller may not look: nothing is collected by such a caller either.
  if (fd === undefined) return () => {};
  if (tryLock(store.host, fd, "exclusive")) return () => closeSync(fd);
  closeSync(fd);
  return undefined;
}

function openLock({ dataDir, host, ...rest }: Store, create: number): number | undefined {
  const path = inCas({ dataDir, host, ...rest }, `${dataDir.imageLocks}/fetch`);
  try {
    return openBeneath(host, dataDir.cas, path, O.RDWR | create, create === 0 ? 0 : 0o660);
  } catch (error) {
    // ENOSPC: the lock file is made by the first fetch; where there is no room for it, there is none for an image.
    if (isErrno(error, "EACCES", "EPERM", "EROFS", "ENOENT", "ENOSPC", "EDQUOT")) return undefined;
    throw error;
  }
}
