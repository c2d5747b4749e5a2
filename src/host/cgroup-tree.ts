/**
 * Where the host's cgroup hierarchies are, and reading and writing below them. One table serves v1 (one hierarchy per controller or pair of controllers,
 * and `name=systemd`), hybrid (the same and an empty v2) and unified v2 hosts. cgroups(7), the kernel's admin-guide/cgroup-v1 and cgroup-v2.
 */

import { type Dirent, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "./errno.ts";
import { type MountEntry, parseMountInfo } from "./mount-info.ts";

export interface CgroupHierarchy {
  /** As in /proc/PID/cgroup: "memory", "cpu,cpuacct", "name=systemd"; "" is v2. */
  readonly name: string;
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly mountPoint: string;
  /** Which of its cgroups is the mounted one: "/", except in a container that sees a part only. */
  readonly mountRoot: string;
  /** The calling process's cgroup in it, relative to the hierarchy's root ("/", "/system.slice/x.service"). */
  readonly own: string;
}

export interface CgroupLayout {
  readonly kind: "v1" | "hybrid" | "v2";
  /** The one whose path is recorded as `subcgroup` comes first: `name=systemd`, else v2, else any. */
  readonly hierarchies: readonly CgroupHierarchy[];
}

/** Reads the host's layout as process `self` sees it. Throws UNSUPPORTED where no hierarchy is mounted. */
export function detectCgroups(
  mountInfo = readFileSync("/proc/self/mountinfo", "utf8"),
  own = readFileSync("/proc/self/cgroup", "utf8"),
): CgroupLayout {
  // A host with many pods has thousands of mounts, and a dozen of these.
  const lines = mountInfo.split("\n").filter((line) => line.includes(" - cgroup"));
  const mounts = parseMountInfo(lines.join("\n"));
  const hierarchies = own
    .split("\n")
    .map((line) => hierarchyOf(line, mounts))
    .filter((hierarchy) => hierarchy !== undefined)
    .sort((a, b) => rank(a) - rank(b));
  if (hierarchies.length === 0) {
    throw new RktError("UNSUPPORTED", "Cannot use cgroups: no hierarchy is mounted", {
      hint: "mount cgroups below /sys/fs/cgroup (distributions have a package or a unit for it)",
    });
  }
  const versions = new Set(hierarchies.map((hierarchy) => hierarchy.version));
  return { kind: versions.size === 2 ? "hybrid" : versions.has(2) ? "v2" : "v1", hierarchies };
}

/** A line of /proc/PID/cgroup: `ID:CONTROLLERS:PATH`. */
export function parseCgroupLine(line: string): { name: string; path: string } | undefined {
  const match = /^[0-9]+:([^:]*):(\/.*)$/.exec(line);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { name: match[1], path: match[2] };
}

function hierarchyOf(line: string, mounts: readonly MountEntry[]): CgroupHierarchy | undefined {
  const parsed = parseCgroupLine(line);
  if (parsed === undefined) return undefined;
  const version = parsed.name === "" ? 2 : 1;
  const isOurs = (entry: MountEntry) =>
    version === 2
      ? entry.type === "cgroup2"
      : entry.type === "cgroup" && parsed.name.split(",").every((name) => entry.superOptions.includes(name));
  // Of several mounts of a hierarchy the one that shows most of it serves best.
  const mount = mounts.filter(isOurs).sort((a, b) => a.root.length - b.root.length)[0];
  if (mount === undefined) return undefined;
  // "/../x": the process is outside the cgroup namespace it reads this in; what it may use begins at the mount's root.
  const own = parsed.path.startsWith("/..") ? mount.root : parsed.path;
  return { name: parsed.name, version, mountPoint: mount.mountPoint, mountRoot: mount.root, own };
}

function rank(hierarchy: CgroupHierarchy): number {
  if (hierarchy.name === "name=systemd") return 0;
  return hierarchy.version === 2 ? 1 : 2;
}

/** The directory of cgroup `path` (absolute within its hierarchy), or undefined when the mount does not show it. */
export function cgroupDirectory(hierarchy: CgroupHierarchy, path: string): string | undefined {
  // In a cgroup namespace the root reads "/.." or deeper: paths are relative to the namespace, and so is the mount.
  const root = hierarchy.mountRoot.startsWith("/..") ? "/" : hierarchy.mountRoot;
  if (root === "/") return join(hierarchy.mountPoint, path);
  if (path !== root && !path.startsWith(`${root}/`)) return undefined;
  return join(hierarchy.mountPoint, path.slice(root.length));
}

/**
 * Checks a cgroup path that was read from a file. A `..` in it would make rkt kill or remove what is not the pod's, so it is refused, like control
 * characters and overlong text. Gives it back absolute, without a final slash. Throws INVALID_INPUT.
 */
export function checkedCgroupPath(text: string): string {
  const parts = text.split("/").filter((part) => part !== "");
  if (text.length > 4096 || parts.length === 0 || parts.some((part) => part === "." || part === "..")) {
    throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as a cgroup: expected a path below the root`);
  }
  if (/[\x00-\x1f\x7f]/.test(text)) {
    throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as a cgroup: it holds control characters`);
  }
  return `/${parts.join("/")}`;
}

/** Every cgroup at or below `directory`, deepest first; none when it does not exist (any more). */
export function cgroupsBelow(directory: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
  const below = entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => cgroupsBelow(join(directory, entry.name)));
  return [...below, directory];
}

/** The processes of one cgroup, without those below. */
export function processesOf(directory: string): number[] {
  const text = readControl(directory, "cgroup.procs");
  // 0 stands for a process of a pid namespace that this one does not see; nobody here can signal it.
  return text === undefined
    ? []
    : text
        .split("\n")
        .map(Number)
        .filter((pid) => pid > 0);
}

/** A control file's content; undefined when the cgroup is gone, has no such file, or (ENOTSUP) is a threaded one. */
export function readControl(directory: string, file: string): string | undefined {
  try {
    return readFileSync(join(directory, file), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV", "ENOTSUP", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

/** Writes a control file; false when the cgroup is gone or the kernel refuses (callers know whether that matters). */
export function tryWriteControl(directory: string, file: string, value: string): boolean {
  try {
    // Without O_CREAT: in a directory that is not a cgroup, no file must appear.
    writeFileSync(join(directory, file), value, { flag: "r+" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error) return false;
    throw error;
  }
}
