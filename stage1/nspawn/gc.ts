/** What an ended pod leaves outside its directory: the link to its journal, its networks and its cgroup. */

import { readlinkSync, unlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { type PodUuid, parseUuid } from "../../src/core/uuid.ts";
import { readPodCgroup } from "../../src/host/cgroup.ts";
import { removePodCgroup } from "../../src/host/cgroup-processes.ts";
import { isErrno } from "../../src/host/mod.ts";
import { tearDownNetwork } from "../../src/network/mod.ts";
import type { Entrypoint } from "../common/io.ts";

export const gc: Entrypoint = async (argv, io) => {
  const uuid = parseUuid(basename(io.podDir));
  removeJournalLink(uuid);
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

const JOURNALS = "/var/log/journal";

/** systemd-nspawn's --link-journal leaves it, and it would lead nowhere. Only a link into the pod: a directory of that name holds somebody's journal. */
function removeJournalLink(uuid: PodUuid): void {
  const link = join(JOURNALS, uuid.replaceAll("-", ""));
  try {
    if (readlinkSync(link).includes(`/${uuid}/`)) unlinkSync(link);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EINVAL")) throw error;
  }
}
