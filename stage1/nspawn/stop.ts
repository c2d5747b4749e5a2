/** Stopping a pod: systemd-nspawn passes TERM on as an orderly halt; with --force it and the pod's init are killed. */

import { readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { childrenOf } from "../../src/host/child-processes.ts";
import { isErrno, SIGNAL } from "../../src/host/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const stop: Entrypoint = async (argv, io) => {
  const supervisor = Number(readFileSync(new PodFiles(io.podDir).ppid, "utf8"));
  if (!Number.isSafeInteger(supervisor) || supervisor < 2) {
    throw new RktError("INVALID_INPUT", `Cannot stop the pod: "${io.podDir}/ppid" has no process number`);
  }
  const force = argv.includes("--force") || argv.includes("--force=true");
  const send = (pid: number, signal: number) => {
    try {
      io.host.kill(pid, signal);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error; // it has ended by itself
    }
  };
  if (!force) {
    send(supervisor, SIGNAL.TERM);
    return 0;
  }
  for (const child of childrenOf(supervisor)) send(child, SIGNAL.KILL);
  send(supervisor, SIGNAL.KILL);
  return 0;
};
