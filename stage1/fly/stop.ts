/** Stopping a fly pod: the signal goes to the app, which rkt's process became; or to the shell above it (supervise.ts), which passes it on and starts nothing any more. */

import { existsSync, readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { isErrno, SIGNAL } from "../../src/host/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const stop: Entrypoint = async (argv, io) => {
  const files = new PodFiles(io.podDir);
  const pid = Number(readFileSync(existsSync(files.ppid) ? files.ppid : files.pid, "utf8"));
  if (!Number.isSafeInteger(pid) || pid < 2)
    throw new RktError("INVALID_INPUT", `Cannot stop the pod: "${io.podDir}/pid" has no process number`);
  const force = argv.includes("--force") || argv.includes("--force=true");
  try {
    io.host.kill(pid, force ? SIGNAL.KILL : SIGNAL.TERM);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it has ended by itself
  }
  return 0;
};
