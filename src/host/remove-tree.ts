/**
 * Removing a tree that somebody else filled: a layer, a pod's writable directories. Paths are never walked; every step names one entry of an open directory,
 * so that a symbolic link is removed and not followed, and a mount is never entered (a plain `rm -rf` of a data directory would delete the host's devices
 * through a /dev left mounted in a pod).
 */

import { chmodSync, readdirSync, readlinkSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { AT, O, RENAME, RESOLVE } from "./constants.ts";
import { isErrno, quotedPath } from "./errno.ts";
import type { Host, HostPath } from "./host.ts";
import { type MountEntry, mountsBelow } from "./mount-info.ts";

/** One directory being emptied. */
interface Frame {
  readonly fd: number;
  /** Its name in the frame below. */
  readonly name: HostPath;
  readonly entries: Buffer[];
}

interface Removal {
  readonly host: Host;
  /** From the tree's own directory down to the one being emptied. */
  readonly frames: Frame[];
  /** For names of directories that were moved up. */
  moved: number;
}

/** Deeper directories are moved up into the tree's own: neither the stack nor the descriptors grow with the depth of a hostile tree. */
const DEEPEST = 64;

/** A path may be nothing but what it names: no link, no other mount, no way up. */
const STRICT = RESOLVE.NO_XDEV | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS | RESOLVE.BENEATH;

/**
 * Removes `name` (a single component) of the directory `parentFd`, whatever it is; content that is gone already is no error. Directories that the caller owns
 * but may not enter are made accessible first. Synchronous; the caller holds the lock that keeps others from filling the tree.
 *
 * Throws CONFLICT naming the mount when something is mounted in the tree, before anything is removed; nothing beyond a mount is ever touched (openat2(2),
 * RESOLVE_NO_XDEV). Throws SystemCallError when the kernel refuses.
 */
export function removeTree(host: Host, parentFd: number, name: HostPath): void {
  refuseMounts(parentFd, name);
  const removal: Removal = { host, frames: [], moved: 0 };
  try {
    if (unlinkFile(host, parentFd, name)) return;
    enter(removal, parentFd, name);
    while (removal.frames.length > 0) step(removal, parentFd);
  } finally {
    for (const frame of removal.frames) host.close(frame.fd);
  }
}

/** Handles one entry of the innermost directory, or leaves it when it is empty. */
function step(removal: Removal, parentFd: number): void {
  const { host, frames } = removal;
  const top = frames.at(-1);
  if (top === undefined) return;
  const entry = top.entries.pop();
  if (entry !== undefined) {
    if (unlinkFile(host, top.fd, entry)) return;
    if (frames.length < DEEPEST || !moveUp(removal, top.fd, entry)) enter(removal, top.fd, entry);
    return;
  }
  // Entries may have come since the listing: directories moved up from below, for one.
  top.entries.push(...list(top.fd));
  if (top.entries.length > 0) return;
  frames.pop();
  host.close(top.fd);
  const above = frames.at(-1)?.fd ?? parentFd;
  ignoreMissing(() => host.unlinkat(above, top.name, AT.REMOVEDIR));
}

/** Removes anything but a directory; false for a directory. */
function unlinkFile(host: Host, dirfd: number, name: HostPath): boolean {
  try {
    ignoreMissing(() => host.unlinkat(dirfd, name, 0));
    return true;
  } catch (error) {
    if (isErrno(error, "EISDIR")) return false;
    // unlink(2): a file system may say EPERM for a directory; and the directory around it may lack write permission.
    if (!isErrno(error, "EPERM", "EACCES")) throw error;
    if (isDirectoryEntry(host, dirfd, name)) return false;
    makeAccessible(dirfd);
    ignoreMissing(() => host.unlinkat(dirfd, name, 0));
    return true;
  }
}

function isDirectoryEntry(host: Host, dirfd: number, name: HostPath): boolean {
  try {
    host.close(host.openat2(dirfd, name, O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, STRICT & ~RESOLVE.NO_XDEV));
    return true;
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ELOOP", "ENOENT")) return false;
    throw error;
  }
}

/** Opens the directory `name` and puts it on the stack. */
function enter(removal: Removal, dirfd: number, name: HostPath): void {
  const fd = openDirectory(removal.host, dirfd, name);
  if (fd === undefined) return;
  removal.frames.push({ fd, name, entries: [] });
}

function openDirectory(host: Host, dirfd: number, name: HostPath): number | undefined {
  const flags = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
  try {
    return host.openat2(dirfd, name, flags, 0, STRICT);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "EXDEV")) throw mountedError(`${readlinkSync(`/proc/self/fd/${dirfd}`)}/${bare(name)}`);
    if (!isErrno(error, "EACCES")) throw error;
  }
  const handle = host.openat2(dirfd, name, O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, STRICT);
  try {
    makeAccessible(handle);
  } finally {
    host.close(handle);
  }
  return host.openat2(dirfd, name, flags, 0, STRICT);
}

/** chmod(2) of an open directory. Through /proc, because fchmod(2) refuses descriptors opened with O_PATH. */
function makeAccessible(fd: number): void {
  chmodSync(`/proc/self/fd/${fd}`, 0o700);
}

/** Moves a deep directory into the tree's own, where a later listing finds it. False when the kernel refuses, as for a mount point. */
function moveUp(removal: Removal, dirfd: number, name: HostPath): boolean {
  const bottom = removal.frames[0];
  if (bottom === undefined) return false;
  for (;;) {
    removal.moved += 1;
    try {
      removal.host.renameat2(dirfd, name, bottom.fd, `.rkt-remove-${removal.moved}`, RENAME.NOREPLACE);
      return true;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) return false;
    }
  }
}

function list(fd: number): Buffer[] {
  return readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" });
}

function ignoreMissing(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** A mount is refused up front, while the tree is still whole; RESOLVE_NO_XDEV is what holds when one appears later. */
function refuseMounts(parentFd: number, name: HostPath): void {
  const text = bare(name);
  if (text === "" || text === "." || text === ".." || text.includes("/")) {
    throw new RktError("INTERNAL", `internal error: cannot remove the tree ${quotedPath(name)}: expected one name`);
  }
  const parent = readlinkSync(`/proc/self/fd/${parentFd}`);
  const [first]: MountEntry[] = mountsBelow(parent === "/" ? `/${text}` : `${parent}/${text}`);
  if (first !== undefined) throw mountedError(first.mountPoint);
}

function mountedError(mountPoint: string): RktError {
  return new RktError("CONFLICT", `Cannot remove what lies below ${quoted(mountPoint)}: something is mounted there`, {
    hint: `unmount it first: umount ${mountPoint}`,
  });
}

function bare(name: HostPath): string {
  return typeof name === "string" ? name : Buffer.from(name).toString("utf8");
}
