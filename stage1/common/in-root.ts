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

/** The kernel's own limit of links in a path (path_resolution(7)). */
const MOST_LINKS = 40;

/**
 * Makes directory `path` and its missing parents in the root (0755, root's), following links inside it, and gives a descriptor of it. A link that leads to
 * nothing is followed too: what it names is made, inside the root. A component that exists as something else is an error of the kernel's (ENOTDIR).
 */
export function makeDirectoryInRoot(host: Host, root: number, path: string, mode = 0o755): number {
  return walk(host, root, path, mode, MOST_LINKS).fd;
}

/** The directory, and its path as far as links were written out. */
function walk(host: Host, root: number, path: string, mode: number, links: number): { fd: number; path: string } {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  let walked = "";
  let current = openInRoot(host, root, ".", O.PATH | O.DIRECTORY);
  for (const [index, part] of parts.entries()) {
    const parent = current;
    const before = walked;
    try {
      walked = `${before}/${part}`;
      try {
        current = openInRoot(host, root, walked, O.PATH | O.DIRECTORY);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
        const target = makeOrRead(host, parent, part, index === parts.length - 1 ? mode : 0o755);
        if (target !== undefined) {
          if (links === 0) throw error;
          const followed = walk(host, root, target.startsWith("/") ? target : `${before}/${target}`, mode, links - 1);
          host.close(followed.fd);
          walked = followed.path;
        }
        current = openInRoot(host, root, walked, O.PATH | O.DIRECTORY);
      }
    } finally {
      host.close(parent);
    }
  }
  return { fd: current, path: walked };
}

/** Makes a directory; where a link that leads nowhere stands, gives its target instead. */
function makeOrRead(host: Host, parent: number, part: string, mode: number): string | undefined {
  try {
    host.mkdirat(parent, part, mode);
    return undefined;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    return host.readlinkat(parent, part).toString("utf8");
  }
}

/** Makes an empty file at `path` in the root when nothing is there (a mount point for a file). */
export function makeFileInRoot(host: Host, root: number, path: string, links = MOST_LINKS): void {
  if (statInRoot(host, root, path) !== undefined) return;
  const slash = path.lastIndexOf("/");
  const parent = path.slice(0, Math.max(slash, 0));
  const name = path.slice(slash + 1);
  const directory = makeDirectoryInRoot(host, root, parent);
  let target: string;
  try {
    host.close(host.openat(directory, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0o644));
    return;
  } catch (error) {
    if (!isErrno(error, "EEXIST") || links === 0) throw error;
    target = host.readlinkat(directory, name).toString("utf8");
  } finally {
    host.close(directory);
  }
  makeFileInRoot(host, root, target.startsWith("/") ? target : `${parent}/${target}`, links - 1);
}
