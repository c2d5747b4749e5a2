/** The cgroup of a pod that is about to start. */

import { quoted } from "../../src/core/text.ts";
import type { PodUuid } from "../../src/core/uuid.ts";
import {
  type CgroupLayout,
  createPodCgroup,
  joinPodCgroup,
  type PodCgroup,
  planPodCgroup,
  recordPodCgroup,
} from "../../src/host/cgroup.ts";
import type { Stage1Io } from "../common/io.ts";

/** A cgroup of the pod's own, in every hierarchy, joined and recorded before anything is started in it. */
export function joinCgroup(io: Stage1Io, uuid: PodUuid, layout: CgroupLayout): PodCgroup {
  recordPodCgroup(io.podDir, planPodCgroup(uuid, layout));
  const cgroup = createPodCgroup(uuid, layout);
  for (const name of cgroup.skipped)
    io.emit({
      kind: "warning",
      text: `cgroup controller ${quoted(name)} cannot be used: its isolators have no effect`,
    });
  joinPodCgroup(cgroup, process.pid, layout);
  return cgroup;
}
