/** `--rm`: a pod that goes when it is over. rkt itself has become the pod by then, so somebody else waits; whoever that was may be killed: then `rkt gc` removes the pod. */

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { withoutRuntimeVariables } from "../host/mod.ts";

/**
 * Waits, in a session of its own, for the lock on the pod's directory, which the pod's supervisor inherits; then `rkt rm`. A shell and flock(1), together about a megabyte. In the background, as
 * no child of the supervisor.
 */
const WAIT = 'directory=$1; shift; exec setsid sh -c \'flock --shared "$0" true; exec "$@"\' "$directory" "$@" &';

/** Starts it. The caller holds the pod's lock. `removal`: the words of `rkt … rm UUID`. Throws HOST_PROGRAM. */
export function removeAtEnd(files: PodFiles, removal: readonly string[]): void {
  writeFileSync(files.removeAtEnd, "", { mode: 0o640 });
  const env: Record<string, string> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  for (const name of ["PATH", "HOME"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const argv = ["-c", WAIT, "wait", files.dir, process.execPath, ...removal];
  const result = spawnSync("/bin/sh", argv, { stdio: "ignore", cwd: "/", env: withoutRuntimeVariables(env) });
  if (result.error !== undefined || result.status !== 0)
    throw new RktError("HOST_PROGRAM", 'Cannot start "/bin/sh", which waits for the pod\'s end', {
      cause: result.error,
    });
}
