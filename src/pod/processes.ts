/**
 * What a pod left running. The lock alone does not say it: killing a pod's supervisor with SIGKILL frees the lock while the pod's processes run on.
 *
 * nspawn, host and kvm pods: everything in the pod's own cgroup. fly pods have no cgroup: a process counts when its root directory lies in the pod (host/rooted-processes.ts).
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PodUuid } from "../core/uuid.ts";
import { type CgroupLayout, detectCgroups, moveToParentCgroup, type PodCgroup, readPodCgroup } from "../host/cgroup.ts";
import { killPodCgroup, podCgroupPopulated, podCgroupProcesses } from "../host/cgroup-processes.ts";
import { SIGNAL } from "../host/constants.ts";
import type { Host } from "../host/host.ts";
import { processesByPod, signalRooted } from "../host/rooted-processes.ts";

/** Finds pods' processes; remembers, for one command, what is the same for all pods. */
export interface ProcessFinder {
  /** True when a process of the pod is left. `dir` is any path of the pod's directory. */
  populated(dir: string, uuid: PodUuid): boolean;
  /** Every process of the pod that this process can see. */
  processesOf(dir: string, uuid: PodUuid): number[];
  /** The pod's own cgroup, when it has one. */
  cgroupOf(dir: string, uuid: PodUuid): PodCgroup | undefined;
  readonly layout: CgroupLayout | undefined;
}

export function processFinder(): ProcessFinder {
  let layout: CgroupLayout | null | undefined;
  let rooted: ReadonlyMap<string, readonly number[]> | undefined;
  const finder: ProcessFinder = {
    get layout() {
      if (layout === undefined) layout = detected();
      return layout ?? undefined;
    },
    cgroupOf(dir, uuid) {
      // The record first: fly pods have none, and then nobody needs the host's layout.
      const recorded = recordedCgroup(dir, uuid);
      return recorded === undefined || finder.layout === undefined ? undefined : recorded;
    },
    populated(dir, uuid) {
      const cgroup = finder.cgroupOf(dir, uuid);
      if (cgroup !== undefined && podCgroupPopulated(cgroup, finder.layout)) return true;
      // The walk over /proc is only worth it for a pod that can have such processes; after it, it answers for every other pod without a look at its files.
      if (rooted === undefined) {
        if (!hasProcessGroup(dir)) return false;
        rooted = processesByPod();
      }
      return rooted.has(uuid) && hasProcessGroup(dir);
    },
    processesOf(dir, uuid) {
      const cgroup = finder.cgroupOf(dir, uuid);
      const members = cgroup === undefined ? [] : podCgroupProcesses(cgroup, finder.layout);
      const inside = hasProcessGroup(dir) ? (processesByPod().get(uuid) ?? []) : [];
      return [...new Set([...members, ...inside])];
    },
  };
  return finder;
}

/** Ends what is left of the pod and waits until it is gone; false after `timeout` milliseconds. The caller holds the pod's lock. */
export async function killPodProcesses(
  host: Pick<Host, "kill">,
  finder: ProcessFinder,
  pod: { readonly dir: string; readonly uuid: PodUuid },
  timeout = 10_000,
): Promise<boolean> {
  const cgroup = finder.cgroupOf(pod.dir, pod.uuid);
  if (cgroup !== undefined && !(await killPodCgroup(host, cgroup, timeout, finder.layout))) return false;
  const deadline = performance.now() + timeout;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const left = finder.processesOf(pod.dir, pod.uuid);
    if (left.length === 0) return true;
    if (performance.now() >= deadline) return false;
    for (const pid of left) signalRooted(host, pid, pod.uuid, SIGNAL.KILL);
    await Bun.sleep(pause);
  }
}

/** Moves this process out of the cgroup of a pod whose start failed in it. */
export function leavePodCgroup(finder: ProcessFinder, pod: { readonly dir: string; readonly uuid: PodUuid }): void {
  const cgroup = finder.cgroupOf(pod.dir, pod.uuid);
  if (cgroup !== undefined) moveToParentCgroup(cgroup, process.pid, finder.layout);
}

function detected(): CgroupLayout | null {
  try {
    return detectCgroups();
  } catch {
    return null; // A host without cgroups has no pods in cgroups.
  }
}

/** Nonsense in the file is as good as none: rkt kills nothing on its account. */
function recordedCgroup(dir: string, uuid: PodUuid): PodCgroup | undefined {
  try {
    return readPodCgroup(dir, uuid);
  } catch {
    return undefined;
  }
}

/** fly records one. */
function hasProcessGroup(dir: string): boolean {
  return existsSync(join(dir, "pgid"));
}
