/**
 * locks/prepareLock: shared while a pod is being prepared, exclusive while rendered trees are collected, so that no tree goes between being chosen and
 * being named in a pod's directory.
 */

import { mkdirSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { AT_FDCWD, O } from "../host/constants.ts";
import type { Host } from "../host/host.ts";
import { type LockMode, lockWithBackoff } from "../host/lock.ts";

/** Waits for the lock and returns its descriptor; closing that gives it back. Root only. */
export async function takePrepareLock(dataDir: DataDir, host: Host, mode: LockMode): Promise<number> {
  mkdirSync(dataDir.locks, { recursive: true, mode: 0o750 });
  const fd = host.openat(AT_FDCWD, dataDir.prepareLock, O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC, 0o640);
  try {
    await lockWithBackoff(host, fd, mode, { what: "the preparation of pods" });
    return fd;
  } catch (error) {
    host.close(fd);
    throw error;
  }
}
