/** /proc/PID/mountinfo (proc_pid_mountinfo(5)) as typed lines, in the kernel's order: a mount comes after the one it is mounted on. */

import { readFileSync } from "node:fs";

export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  /** Device as `major:minor`. */
  readonly device: string;
  /** Which directory of its file system is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  /** Mount options ("rw", "nosuid"). */
  readonly options: readonly string[];
  /** "shared:7", "master:3", …; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The mounts of the calling process's namespace. */
export function readMountInfo(): MountEntry[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** Parses the file's text; lines of another form are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split("\n").flatMap((line) => parseLine(line) ?? []);
}

/** The mounts at `directory` or below it, the last mounted first: the order in which they can be unmounted. */
export function mountsBelow(directory: string, entries: readonly MountEntry[] = readMountInfo()): MountEntry[] {
  const prefix = directory === "/" ? "/" : `${directory}/`;
  return entries.filter((entry) => entry.mountPoint === directory || entry.mountPoint.startsWith(prefix)).reverse();
}

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  // Optional fields end at a lone hyphen; the paths before it cannot be one, since they are absolute.
  const separator = fields.indexOf("-", 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [type, source, superOptions] = fields.slice(separator + 1);
  if (separator < 0 || mountPoint === undefined || root === undefined || type === undefined) return undefined;
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? "",
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    options: (options ?? "").split(","),
    propagation: fields.slice(6, separator),
    type,
    source: unescapeOctal(source ?? ""),
    superOptions: (superOptions ?? "").split(","),
  };
}

/** Space, tab, newline and backslash stand as `\040`, `\011`, `\012`, `\134`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
