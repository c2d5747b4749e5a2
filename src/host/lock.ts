/**
 * flock(2) without blocking. A native call that waits would keep signal handlers from running (docs/decisions/0002-system-calls-through-ffi.md), so a lock is
 * asked for with LOCK_NB, and waiting is a timer.
 */

import { RktError } from "../core/errors.ts";
import { LOCK } from "./constants.ts";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";

export type LockMode = "shared" | "exclusive";

export interface LockWait {
  /** What is locked, for the error ("pod 1234…", "the image store"). */
  readonly what: string;
  /** Milliseconds until the wait is given up; undefined waits for ever. */
  readonly timeout?: number;
  /** Called once, before the first wait. */
  readonly onWait?: () => void;
}

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 100;

/** Takes the lock on the open file behind `fd`, or changes its mode; false when another open file holds it. Throws SystemCallError on anything else. */
export function tryLock(host: Host, fd: number, mode: LockMode): boolean {
  try {
    host.flock(fd, (mode === "shared" ? LOCK.SH : LOCK.EX) | LOCK.NB);
    return true;
  } catch (error) {
    // flock(2): EWOULDBLOCK, which is EAGAIN on Linux.
    if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) return false;
    throw error;
  }
}

/**
 * Waits until the lock is taken. Throws CONFLICT when `timeout` has passed.
 * Changing shared to exclusive is not atomic (flock(2)): the shared lock may be lost while waiting.
 */
export async function lockWithBackoff(host: Host, fd: number, mode: LockMode, wait: LockWait): Promise<void> {
  const deadline = wait.timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + wait.timeout;
  for (let pause = FIRST_PAUSE, first = true; !tryLock(host, fd, mode); pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    if (first) wait.onWait?.();
    first = false;
    const left = deadline - performance.now();
    if (left <= 0) {
      throw new RktError("CONFLICT", `Cannot lock ${wait.what}: another process holds its lock`);
    }
    // A random share keeps two waiters from asking in step.
    await Bun.sleep(Math.min(pause * (0.5 + Math.random()), left));
  }
}

/** Gives the lock back. Closing every descriptor of the open file does so too. */
export function unlock(host: Host, fd: number): void {
  host.flock(fd, LOCK.UN);
}
