/** Stopping a pod: its supervisor asks the guest to halt; with --force the machine and whoever belongs to it are killed. */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { parseUuid } from "../../src/core/uuid.ts";
import { readPodCgroup } from "../../src/host/cgroup.ts";
import { killPodCgroup } from "../../src/host/cgroup-processes.ts";
import { isErrno, SIGNAL } from "../../src/host/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const stop: Entrypoint = async (argv, { host, podDir }) => {
  const supervisor = Number(readFileSync(new PodFiles(podDir).pid, "utf8"));
  if (!Number.isSafeInteger(supervisor) || supervisor < 2)
    throw new RktError("INVALID_INPUT", `Cannot stop the pod: "${podDir}/pid" has no process number`);
  if (!argv.includes("--force") && !argv.includes("--force=true")) {
    try {
      host.kill(supervisor, SIGNAL.TERM);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error; // it has ended by itself
    }
    return 0;
  }
  const cgroup = readPodCgroup(podDir, parseUuid(basename(podDir)));
  if (cgroup === undefined) return 0;
  return (await killPodCgroup(host, cgroup)) ? 0 : 1;
};
