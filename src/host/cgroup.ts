/**
 * A pod's cgroup: made before the pod starts, below the caller's own (so that a parent's limits hold), the same name in
 * every hierarchy, and recorded in the pod's directory. The cgroup, beside the lock, says whether a pod is running, and
 * through it everything a pod left behind is found and ended (cgroup-processes.ts).
 */

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { PodUuid } from "../core/uuid.ts";
import {
  type CgroupHierarchy,
  type CgroupLayout,
  cgroupDirectory,
  checkedCgroupPath,
  detectCgroups,
  processesOf,
  readControl,
  tryWriteControl,
} from "./cgroup-tree.ts";
import { isErrno } from "./errno.ts";

export {
  type CgroupHierarchy,
  type CgroupLayout,
  cgroupDirectory,
  checkedCgroupPath,
  detectCgroups,
} from "./cgroup-tree.ts";

export interface PodCgroup {
  /**
   * Path relative to the controller's root, without a leading slash: the content of the pod's file `subcgroup` (rkt
   * 1.x).
   */
  readonly subcgroup: string;
  /**
   * Hierarchies where the pod's cgroup has another path, by name ("memory" → "/limits/rkt-UUID"): the caller may be in
   * different cgroups. Kept in the pod's file `subcgroup-paths`, one `NAME:PATH` a line, as /proc/PID/cgroup has it.
   */
  readonly paths: ReadonlyMap<string, string>;
}

/** The file of {@link PodCgroup.paths}, beside `subcgroup`. */
const PATHS_FILE = "subcgroup-paths";

/** The name of a pod's cgroup: rkt only ever kills or removes below one that carries the pod's UUID. */
export function podCgroupName(uuid: PodUuid): string {
  return `rkt-${uuid}`;
}

/**
 * Where {@link createPodCgroup} will make the pod's cgroup: to be recorded before, so that a crash in between leaves
 * none that nobody knows of.
 */
export function planPodCgroup(uuid: PodUuid, layout: CgroupLayout = detectCgroups()): PodCgroup {
  const [first] = layout.hierarchies;
  if (first === undefined) throw new RktError("UNSUPPORTED", "Cannot use cgroups: no hierarchy is mounted");
  const subcgroup = join(first.own, podCgroupName(uuid));
  const others = layout.hierarchies
    .map(({ name, own }): [string, string] => [name, join(own, podCgroupName(uuid))])
    .filter(([, path]) => path !== subcgroup);
  return { subcgroup: subcgroup.slice(1), paths: new Map(others) };
}

/**
 * Makes the pod's cgroup in every hierarchy (0755: systemd-nspawn searches it as another user). `skipped` names v1
 * controllers that refused: their isolators will not work, so the caller says so. Throws SYSTEM_CALL or PERMISSION-like
 * errors when the first hierarchy refuses, UNSUPPORTED without cgroups.
 */
export function createPodCgroup(
  uuid: PodUuid,
  layout: CgroupLayout = detectCgroups(),
): PodCgroup & { readonly skipped: readonly string[] } {
  const planned = planPodCgroup(uuid, layout);
  const skipped: string[] = [];
  for (const [index, hierarchy] of layout.hierarchies.entries()) {
    try {
      createIn(hierarchy, join(hierarchy.own, podCgroupName(uuid)));
    } catch (error) {
      if (index === 0) throw error;
      skipped.push(hierarchy.name);
    }
  }
  return { ...planned, skipped };
}

function createIn(hierarchy: CgroupHierarchy, path: string): void {
  const directory = cgroupDirectory(hierarchy, path);
  if (directory === undefined) {
    throw new RktError("UNSUPPORTED", `Cannot make cgroup ${quoted(path)}: this mount namespace does not show it`);
  }
  if (hierarchy.name.split(",").includes("cpuset")) fillCpuset(hierarchy, hierarchy.own);
  try {
    mkdirSync(directory, 0o755);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) {
      throw new RktError("SYSTEM_CALL", `Cannot make cgroup ${quoted(directory)}`, { cause: error });
    }
  }
  chmodSync(directory, 0o755); // whatever the umask
  if (hierarchy.name.split(",").includes("cpuset")) {
    fillCpuset(hierarchy, path);
    tryWriteControl(directory, "cgroup.clone_children", "1"); // so that what the pod makes below can hold processes too
  }
}

/**
 * A v1 cpuset refuses processes until it has CPUs and memory nodes of its own (admin-guide/cgroup-v1/cpusets.rst); they
 * are its parent's.
 */
function fillCpuset(hierarchy: CgroupHierarchy, path: string): void {
  const directory = cgroupDirectory(hierarchy, path);
  if (directory === undefined || path === "/") return;
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readControl(directory, file)?.trim() !== "") continue;
    const parent = join(path, "..");
    fillCpuset(hierarchy, parent);
    const value = readControl(cgroupDirectory(hierarchy, parent) ?? directory, file)?.trim() ?? "";
    if (value !== "") tryWriteControl(directory, file, value);
  }
}

/**
 * Moves process `pid` (all its threads) into the pod's cgroup, and on v2 then hands the parent's controllers down where
 * that is allowed: not while the parent still holds processes ("no internal processes", admin-guide/cgroup-v2.rst).
 * Gives the controllers that the pod can use on v2. Throws SYSTEM_CALL when the recorded hierarchy refuses.
 */
export function joinPodCgroup(
  cgroup: PodCgroup,
  pid: number,
  layout: CgroupLayout = detectCgroups(),
): { controllers: string[] } {
  for (const { hierarchy, directory } of directoriesOf(cgroup, layout)) {
    try {
      writeFileSync(join(directory, "cgroup.procs"), String(pid), { flag: "r+" });
    } catch (error) {
      if (hierarchy === layout.hierarchies[0]) {
        throw new RktError("SYSTEM_CALL", `Cannot move process ${pid} to cgroup ${quoted(directory)}`, {
          cause: error,
        });
      }
      // A controller left out by createPodCgroup (skipped): reported there.
    }
  }
  const unified = directoriesOf(cgroup, layout).find(({ hierarchy }) => hierarchy.version === 2);
  // On a hybrid host the controllers are v1's; handing down what v2 has there would only change the host.
  return { controllers: unified === undefined || layout.kind !== "v2" ? [] : handDownControllers(unified.directory) };
}

/**
 * Undoes {@link joinPodCgroup} for `pid` where the kernel allows it: the pod's cgroup was made right below the one that
 * the process came from.
 */
export function moveToParentCgroup(cgroup: PodCgroup, pid: number, layout: CgroupLayout = detectCgroups()): void {
  for (const { directory } of directoriesOf(cgroup, layout)) {
    if (processesOf(directory).includes(pid)) tryWriteControl(join(directory, ".."), "cgroup.procs", String(pid));
  }
}

/** Enables in the parent whatever it has; what the kernel refuses (EBUSY: processes left in it) stays off. */
function handDownControllers(directory: string): string[] {
  const parent = join(directory, "..");
  const available = (readControl(parent, "cgroup.controllers") ?? "").split(/\s+/).filter((name) => name !== "");
  for (const controller of available) tryWriteControl(parent, "cgroup.subtree_control", `+${controller}`);
  return (readControl(directory, "cgroup.controllers") ?? "").split(/\s+/).filter((name) => name !== "");
}

/**
 * Writes `subcgroup` and what goes with it into the pod's directory; before the cgroup is made, so that it and its
 * processes are always accounted for.
 */
export function recordPodCgroup(podDir: string, cgroup: PodCgroup): void {
  if (cgroup.paths.size > 0) {
    const lines = [...cgroup.paths].map(([name, path]) => `${name}:${path}\n`);
    writeFileSync(join(podDir, PATHS_FILE), lines.join(""), { mode: 0o644 });
  }
  writeFileSync(join(podDir, "subcgroup"), cgroup.subcgroup, { mode: 0o644 });
}

/**
 * Reads what {@link recordPodCgroup} wrote (or another stage1, as rkt 1.x: `subcgroup` alone). Undefined when there is
 * none, or when it does not carry the pod's UUID: rkt 1.x could record the unit it ran in, and what runs there is not
 * the pod's to be killed. Throws INVALID_INPUT on nonsense.
 */
export function readPodCgroup(podDir: string, uuid: PodUuid): PodCgroup | undefined {
  const subcgroup = readOptional(join(podDir, "subcgroup"))?.trim();
  if (subcgroup === undefined || subcgroup === "") return undefined;
  const path = checkedCgroupPath(subcgroup);
  if (!carries(path, uuid)) return undefined;
  const paths = new Map<string, string>();
  for (const line of (readOptional(join(podDir, PATHS_FILE)) ?? "").split("\n")) {
    const colon = line.lastIndexOf(":/");
    if (colon < 0) continue;
    const other = checkedCgroupPath(line.slice(colon + 1));
    if (carries(other, uuid)) paths.set(line.slice(0, colon), other);
  }
  return { subcgroup: path.slice(1), paths };
}

/**
 * True when a part of the path names the pod: `rkt-UUID`, or systemd's `machine-rkt\x2dUUID….scope` with escaped
 * hyphens.
 */
function carries(path: string, uuid: PodUuid): boolean {
  return path.replaceAll("\\x2d", "-").includes(`rkt-${uuid}`);
}

function readOptional(file: string): string | undefined {
  // Asked for every pod in a list, and mostly not there: an error costs as much as twenty calls.
  if (!existsSync(file)) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The pod's cgroup directories, one per hierarchy; they need not exist. */
export function directoriesOf(
  cgroup: PodCgroup,
  layout: CgroupLayout,
): { hierarchy: CgroupHierarchy; directory: string }[] {
  const common = checkedCgroupPath(cgroup.subcgroup);
  return layout.hierarchies.flatMap((hierarchy) => {
    const directory = cgroupDirectory(hierarchy, cgroup.paths.get(hierarchy.name) ?? common);
    return directory === undefined ? [] : [{ hierarchy, directory }];
  });
}
