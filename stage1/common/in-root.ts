/**
 * Files inside a root that an image or a pod controls: every path is resolved by the kernel inside that root (openat2(2), RESOLVE_IN_ROOT), so that no
 * symbolic link, absolute or with "..", leads outside.
 */

import { readFileSync } from "node:fs";
import { AT_FDCWD, type FileStatus, type Host, isErrno, O, RESOLVE, statOf } from "../../src/host/mod.ts";

/** A descriptor of the root directory itself; close it. */
export function openRoot(host: Host, rootfs: string): number {
  return host.openat(AT_FDCWD, rootfs, O.PATH | O.DIRECTORY | O.CLOEXEC | O.NOFOLLOW, 0);
}

/** Opens `path` as a process in the root would see it. Never follows /proc's magic links. */
export function openInRoot(host: Host, root: number, path: string, flags: number): number {
  return host.openat2(
    root,
    path.replace(/^\/+/, "") || ".",
    flags | O.CLOEXEC,
    0,
    RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS,
  );
}

/** The status of what `path` names in the root, links followed inside; undefined when there is nothing. */
export function statInRoot(host: Host, root: number, path: string): FileStatus | undefined {
  let fd: number;
  try {
    fd = openInRoot(host, root, path, O.PATH);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return undefined;
    throw error;
  }
  try {
    return statOf(fd);
  } finally {
    host.close(fd);
  }
}

/** Text of a regular file of at most 1 MiB in the root; "" when there is none. */
export function readInRoot(host: Host, root: number, path: string): string {
  const LARGEST = 1 << 20;
  let fd: number;
  try {
    // NONBLOCK: a FIFO in the image must not hang the start.
    fd = openInRoot(host, root, path, O.RDONLY | O.NONBLOCK | O.NOCTTY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENXIO")) return "";
    throw error;
  }
  try {
    const status = statOf(fd);
    return (status.mode & 0o170000) === 0o100000 && status.size <= LARGEST ? readFileSync(fd, "utf8") : "";
  } finally {
    host.close(fd);
  }
}

/**
 * Makes directory `path` and its missing parents in the root (0755, root's), following links inside it, and gives a descriptor of it. A component that exists
 * as something else is an error of the kernel's (ENOTDIR).
 */
export function makeDirectoryInRoot(host: Host, root: number, path: string, mode = 0o755): number {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  let walked = "";
  let current = openInRoot(host, root, ".", O.PATH | O.DIRECTORY);
  for (const [index, part] of parts.entries()) {
    const parent = current;
    try {
      walked = `${walked}/${part}`;
      try {
        current = openInRoot(host, root, walked, O.PATH | O.DIRECTORY);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
        host.mkdirat(parent, part, index === parts.length - 1 ? mode : 0o755);
        current = openInRoot(host, root, walked, O.PATH | O.DIRECTORY);
      }
    } finally {
      host.close(parent);
    }
  }
  return current;
}

/** Makes an empty file at `path` in the root when nothing is there (a mount point for a file). */
export function makeFileInRoot(host: Host, root: number, path: string): void {
  if (statInRoot(host, root, path) !== undefined) return;
  const slash = path.lastIndexOf("/");
  const directory = makeDirectoryInRoot(host, root, path.slice(0, Math.max(slash, 0)));
  try {
    const fd = host.openat(
      directory,
      path.slice(slash + 1),
      O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC,
      0o644,
    );
    host.close(fd);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error; // a dangling link: systemd and mount(2) resolve it themselves
  } finally {
    host.close(directory);
  }
}
