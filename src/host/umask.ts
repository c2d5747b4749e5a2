/**
 * The caller's umask decides nothing about rkt's own files: with 077 a pod's root would be closed to its own users, with 0 the world could write to it. So a
 * command works with 022, and what it becomes gets back what the caller had.
 */

const OWN = 0o022;

let callers: number | undefined;

/** Called once, before anything is written. The umask is the whole process's, whatever the thread. */
export function takeUmask(): void {
  callers ??= process.umask(OWN);
}

/** What the caller had. */
export function callerUmask(): number {
  return callers ?? process.umask();
}
