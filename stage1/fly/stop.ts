/** Stopping a fly pod: the signal goes to the app, which rkt's process became. */

import { readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { isErrno, SIGNAL } from "../../src/host/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const stop: Entrypoint = async (argv, io) => {
  const pid = Number(readFileSync(new PodFiles(io.podDir).pid, "utf8"));
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
