/** Processes as a test sees them from outside, by /proc. */

import { readdirSync, readFileSync } from "node:fs";

/**
 * Of every thread: proc_pid_task(5) lists a child with the thread that started it, and which one that is, is the
 * runtime's affair. None of a process that has ended.
 */
export function childrenOfThreads(pid: number): number[] {
  return attempt(() => readdirSync(`/proc/${pid}/task`)).flatMap((thread) =>
    attempt(() => readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").split(" "))
      .filter(Boolean)
      .map(Number),
  );
}

/** Every process below `pid`, parents first. */
export function descendantsOf(pid: number): number[] {
  return childrenOfThreads(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Dead processes stay visible until somebody has asked for their status. */
export function isAlive(pid: number): boolean {
  const [status = ""] = attempt(() => [readFileSync(`/proc/${pid}/status`, "latin1")]);
  return status !== "" && !/^State:\s+[ZX]/m.test(status);
}

/** Any of them may end between two looks. */
function attempt(read: () => string[]): string[] {
  try {
    return read();
  } catch {
    return [];
  }
}
