/** The owners of a volume, for a pod with a user namespace: what belongs to the host's user 1000 belongs to the pod's user 1000, and what the pod's root makes, to the host's. */

import { realpathSync } from "node:fs";
import { relative } from "node:path";
import { quoted } from "../../src/core/text.ts";
import { AT, type Host, isErrno, MOUNT_ATTR } from "../../src/host/mod.ts";
import { mountsBelow, readMountInfo } from "../../src/host/mount-info.ts";

/** A mount of the volume that keeps the host's owners: the pod sees them as nobody's. */
export interface UnmappedMount {
  readonly path: string;
  readonly type: string;
}

/**
 * Maps the detached mount `fd`, a clone of `source`, with what is mounted below it (mount_setattr(2)). Each file system is tried: which of them can do it
 * depends on the kernel. Gives those that cannot. Before the mount is attached anywhere: later the kernel refuses.
 */
export function mapVolume(
  host: Host,
  fd: number,
  volume: { readonly source: string; readonly recursive: boolean },
  userns: number,
): UnmappedMount[] {
  if (map(host, fd, "", volume.recursive ? AT.RECURSIVE : 0, userns)) return [];
  // All or nothing, says the kernel; then one by one.
  const top = realpathSync(volume.source);
  const below = volume.recursive
    ? mountsBelow(top, readMountInfo()).filter(({ mountPoint }) => mountPoint !== top)
    : [];
  const points = [top, ...new Set(below.map(({ mountPoint }) => mountPoint))];
  return points
    .filter((point) => !map(host, fd, point === top ? "" : relative(top, point), 0, userns))
    .map((path) => ({ path, type: fileSystemOf(path) }));
}

function map(host: Host, fd: number, path: string, flags: number, userns: number): boolean {
  const attr = { set: MOUNT_ATTR.IDMAP, clear: 0, propagation: 0, usernsFd: userns };
  try {
    host.mountSetAttr(fd, path, (path === "" ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW) | flags, attr);
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL", "EOPNOTSUPP", "ENOSYS", "EPERM", "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

export function unmappedText(volume: string, { path, type }: UnmappedMount): string {
  return `volume ${quoted(volume)} keeps the host's owners, which the pod's users see as nobody: ${quoted(path)} is on ${quoted(type)}, where this kernel does not map owners`;
}

/** The type of the file system that `path` lies on: of the mounts above it, the last of the longest. */
function fileSystemOf(path: string): string {
  let found = { length: 0, type: "unknown" };
  for (const { mountPoint, type } of readMountInfo()) {
    const covers = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (covers && mountPoint.length >= found.length) found = { length: mountPoint.length, type };
  }
  return found.type;
}
