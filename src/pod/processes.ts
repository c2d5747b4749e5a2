/**
 * What a pod left running. The lock alone does not say it: killing a pod's supervisor with SIGKILL frees the lock while the pod's processes run on.
 *
 * nspawn, host and kvm pods: everything in the pod's own cgroup. fly pods have no cgroup (rkt became the app, in the caller's own): there, a process counts when its
 * root directory lies in the pod. The recorded process group is no evidence by itself: numbers are used again, and a pod started by a script shares the
 * script's group, so killing the group could kill strangers; a root directory below …/UUID/ is nobody else's. Reading it takes root (proc_pid_root(5)).
 */

import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { PodUuid } from "../core/uuid.ts";
import {
  type CgroupLayout,
  detectCgroups,
  killPodCgroup,
  moveToParentCgroup,
  type PodCgroup,
  podCgroupPopulated,
  podCgroupProcesses,
  readPodCgroup,
} from "../host/cgroup.ts";
import { SIGNAL } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";

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
    for (const pid of left) killRooted(host, pid, pod.uuid);
    await Bun.sleep(pause);
  }
}

/** Waits, for at most `patience` milliseconds, until none of the pod's processes is left; false when some are. Those of a supervisor that was killed outlive its lock by moments. */
export async function podProcessesEnded(
  finder: ProcessFinder,
  pod: { readonly dir: string; readonly uuid: PodUuid },
  patience: number,
): Promise<boolean> {
  const deadline = performance.now() + patience;
  for (let pause = 1; finder.processesOf(pod.dir, pod.uuid).length > 0; pause = Math.min(pause * 2, 50)) {
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await Bun.sleep(Math.min(pause, left));
  }
  return true;
}

/** Moves this process out of the cgroup of a pod whose start failed in it. */
export function leavePodCgroup(finder: ProcessFinder, pod: { readonly dir: string; readonly uuid: PodUuid }): void {
  const cgroup = finder.cgroupOf(pod.dir, pod.uuid);
  if (cgroup !== undefined) moveToParentCgroup(cgroup, process.pid, finder.layout);
}

/** Looks once more before it kills: between the search and now the number may have passed to another process. */
function killRooted(host: Pick<Host, "kill">, pid: number, uuid: PodUuid): void {
  if (podOfRoot(pid) !== uuid) return;
  try {
    host.kill(pid, SIGNAL.KILL);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
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

/** One walk over /proc for all pods: processes whose root directory lies in a pod, by the pod's UUID. */
function processesByPod(): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const uuid = podOfRoot(pid);
    if (uuid !== undefined) found.set(uuid, [...(found.get(uuid) ?? []), pid]);
  }
  return found;
}

const POD_ROOT = /\/pods\/(?:run|exited-garbage)\/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\//;

function podOfRoot(pid: number): string | undefined {
  try {
    const uuid = POD_ROOT.exec(readlinkSync(`/proc/${pid}/root`))?.[1];
    return uuid === undefined || isZombie(pid) ? undefined : uuid;
  } catch {
    return undefined; // It ended, or it is another user's.
  }
}

/** A zombie's link still reads; it runs nothing and cannot be killed again. */
function isZombie(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return "ZX".includes(stat.charAt(stat.lastIndexOf(")") + 2));
}
