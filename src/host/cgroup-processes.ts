/** Who is left in a pod's cgroup (cgroup.ts), and how they, and it, are ended. */

import { rmdirSync } from "node:fs";
import { directoriesOf, type PodCgroup } from "./cgroup.ts";
import {
  type CgroupLayout,
  cgroupsBelow,
  detectCgroups,
  processesOf,
  readControl,
  tryWriteControl,
} from "./cgroup-tree.ts";
import { SIGNAL } from "./constants.ts";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";

/** True when a process is in the pod's cgroup. Quick: one file on v2, else the first hierarchy. */
export function podCgroupPopulated(cgroup: PodCgroup, layout: CgroupLayout = detectCgroups()): boolean {
  const directories = directoriesOf(cgroup, layout);
  const unified = directories.find(({ hierarchy }) => hierarchy.version === 2);
  if (unified !== undefined) {
    const populated = readControl(unified.directory, "cgroup.events")?.includes("populated 1");
    if (populated === true) return true;
    // A hybrid host's v2 may hold nothing of a pod that another stage1 started; elsewhere the answer is complete.
    if (populated === false && layout.kind === "v2") return false;
  }
  const first = directories[0];
  return first !== undefined && cgroupsBelow(first.directory).some((directory) => processesOf(directory).length > 0);
}

/** Every process in the pod's cgroup or below, in any hierarchy, once, without the calling one. */
export function podCgroupProcesses(cgroup: PodCgroup, layout: CgroupLayout = detectCgroups()): number[] {
  const pids = directoriesOf(cgroup, layout).flatMap(({ directory }) => cgroupsBelow(directory).flatMap(processesOf));
  return [...new Set(pids)].filter((pid) => pid !== process.pid).sort((a, b) => a - b);
}

/**
 * Ends every process of the pod's cgroup (except the calling one) and waits until they are gone. True when it is empty;
 * false when `timeout` milliseconds have passed (a process in an uninterruptible wait).
 */
export async function killPodCgroup(
  host: Pick<Host, "kill">,
  cgroup: PodCgroup,
  timeout = 10_000,
  layout: CgroupLayout = detectCgroups(),
): Promise<boolean> {
  const deadline = performance.now() + timeout;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    if (podCgroupProcesses(cgroup, layout).length === 0) return true;
    killOnce(host, cgroup, layout);
    if (performance.now() >= deadline) return podCgroupProcesses(cgroup, layout).length === 0;
    await Bun.sleep(pause);
  }
}

function killOnce(host: Pick<Host, "kill">, cgroup: PodCgroup, layout: CgroupLayout): void {
  const directories = directoriesOf(cgroup, layout);
  // A start that failed may clean up from within: it must neither kill nor freeze itself.
  const inside = directories.some(({ directory }) =>
    cgroupsBelow(directory).flatMap(processesOf).includes(process.pid),
  );
  const freezers = directories.filter(({ hierarchy }) => !inside && hierarchy.name.split(",").includes("freezer"));
  // cgroup.kill (Linux 5.14) reaches everything at once, forks included.
  for (const { hierarchy, directory } of directories) {
    if (hierarchy.version === 2 && !inside) tryWriteControl(directory, "cgroup.kill", "1");
  }
  // Frozen first: a process that is frozen neither forks faster than it is killed, nor ends and leaves its number to a
  // stranger in between.
  for (const { directory } of freezers) tryWriteControl(directory, "freezer.state", "FROZEN");
  try {
    for (const pid of podCgroupProcesses(cgroup, layout)) killProcess(host, pid);
  } finally {
    // Always, and below too (the pod may have frozen parts of itself): SIGKILL takes effect when a v1 freezer lets go.
    const frozen = freezers.flatMap(({ directory }) => cgroupsBelow(directory));
    for (const directory of frozen) tryWriteControl(directory, "freezer.state", "THAWED");
  }
}

function killProcess(host: Pick<Host, "kill">, pid: number): void {
  try {
    host.kill(pid, SIGNAL.KILL);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

/**
 * Removes the pod's cgroups bottom up; they must be empty. True when none is left; the kernel may need moments (EBUSY),
 * so it is tried for `timeout` ms.
 */
export async function removePodCgroup(
  cgroup: PodCgroup,
  timeout = 2_000,
  layout: CgroupLayout = detectCgroups(),
): Promise<boolean> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const left = directoriesOf(cgroup, layout).flatMap(({ directory }) =>
      cgroupsBelow(directory).filter((below) => !removed(below)),
    );
    if (left.length === 0) return true;
    if (performance.now() >= deadline) return false;
    await Bun.sleep(20);
  }
}

function removed(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return isErrno(error, "ENOENT", "ENODEV");
  }
}
