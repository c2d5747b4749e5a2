/** What an ended pod leaves outside its directory: its networks and its cgroup. */

import { basename } from "node:path";
import { parseUuid } from "../../src/core/uuid.ts";
import { readPodCgroup, removePodCgroup } from "../../src/host/cgroup.ts";
import { tearDownNetwork } from "../../src/network/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const gc: Entrypoint = async (argv, io) => {
  const uuid = parseUuid(basename(io.podDir));
  const flag = argv.indexOf("--local-config");
  const localConfigDir =
    argv.find((word) => word.startsWith("--local-config="))?.slice("--local-config=".length) ??
    (flag < 0 ? undefined : argv[flag + 1]) ??
    "/etc/rkt";
  const problems = await tearDownNetwork({
    uuid,
    podDir: io.podDir,
    localConfigDir,
    stage1NetDirs: [],
    emit: io.emit,
    host: io.host,
  });
  for (const { what, error } of problems) io.emit({ kind: "warning", text: `${what}: ${error.message}` });
  const cgroup = readPodCgroup(io.podDir, uuid);
  if (cgroup !== undefined) await removePodCgroup(cgroup);
  return problems.length === 0 ? 0 : 1;
};
