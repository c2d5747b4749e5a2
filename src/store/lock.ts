/**
 * One lock for the whole store, an flock on `cas`: shared while a record is put beside its blobs, exclusive while blobs are removed. It is held for milliseconds.
 */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type LockMode, tryLock } from "../host/lock.ts";
import { AT_FDCWD, O } from "../host/mod.ts";
import type { Store } from "./files.ts";

const LONGEST_WAIT = 30_000;

/** Runs `action` under the lock. Throws CONFLICT when another process keeps the lock for half a minute. */
export function withStoreLock<T>(store: Store, mode: LockMode, action: () => T): T {
  const fd = store.host.openat(AT_FDCWD, store.dataDir.cas, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    const deadline = performance.now() + LONGEST_WAIT;
    for (let pause = 1; !tryLock(store.host, fd, mode); pause = Math.min(pause * 2, 50)) {
      if (performance.now() > deadline) {
        throw new RktError(
          "CONFLICT",
          `Cannot lock the image store ${quoted(store.dataDir.cas)}: another process holds its lock`,
        );
      }
      Bun.sleepSync(pause);
    }
    return action();
  } finally {
    store.host.close(fd); // gives the lock back
  }
}
