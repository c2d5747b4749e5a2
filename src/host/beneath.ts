/**
 * Small files in directories that others may write to. The store is writable by group rkt, and root reads and writes there: a symbolic link planted in it would
 * turn "write a record" into "write any file of the host". So every path is opened beneath a directory that the caller trusts, and no link is ever followed.
 */

import { fstatSync, fsyncSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { RktError } from "../core/errors.ts";
import { AT_FDCWD, O, RESOLVE } from "./constants.ts";
import { isErrno, quotedPath } from "./errno.ts";
import type { Host } from "./host.ts";

/** Bounds for openat2(2): nothing outside the directory, no symbolic link anywhere on the way. */
const WITHIN = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;

/** Opens `path` (relative) below directory `root` (absolute); a descriptor, close-on-exec. Throws SystemCallError; ELOOP means a link was met. */
export function openBeneath(host: Host, root: string, path: string, flags: number, mode = 0): number {
  const directory = host.openat(AT_FDCWD, root, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    // NONBLOCK: opening a FIFO that somebody put there must not hang. O_PATH opens nothing, and openat2 refuses flags that it would ignore.
    const opening = (flags & O.PATH) === 0 ? O.NONBLOCK | O.NOCTTY : 0;
    return host.openat2(directory, path, flags | O.CLOEXEC | O.NOFOLLOW | opening, mode, WITHIN);
  } finally {
    host.close(directory);
  }
}

/** Opens a regular file for reading, and gives its size. Undefined when there is none. Throws INVALID_INPUT for anything that is not a regular file. */
export function openFileBeneath(host: Host, root: string, path: string): { fd: number; size: number } | undefined {
  let fd: number;
  try {
    fd = openBeneath(host, root, path, O.RDONLY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  const status = fstatSync(fd);
  if (status.isFile()) return { fd, size: status.size };
  host.close(fd);
  throw new RktError("INVALID_INPUT", `Cannot read ${quotedPath(`${root}/${path}`)}: not a regular file`);
}

/** The bytes of a file of at most `limit` bytes; undefined when there is none. Throws INVALID_INPUT when it is larger, or not a regular file. */
export function readFileBeneath(host: Host, root: string, path: string, limit: number): Buffer | undefined {
  const file = openFileBeneath(host, root, path);
  if (file === undefined) return undefined;
  try {
    return readAll(file.fd, limit, () => quotedPath(`${root}/${path}`));
  } finally {
    host.close(file.fd);
  }
}

/** Reads to the end, at most `limit` bytes. Throws INVALID_INPUT when there is more. */
export function readAll(fd: number, limit: number, what: () => string): Buffer {
  const size = fstatSync(fd).size;
  if (size > limit) throw tooLarge(what(), limit);
  // One byte more than its size: a file that grows while it is read is seen, and not cut silently.
  let buffer = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, buffer.length - length, length);
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length > limit) throw tooLarge(what(), limit);
    if (length === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(64 * 1024)]);
  }
}

function tooLarge(what: string, limit: number): RktError {
  return new RktError("INVALID_INPUT", `Cannot read ${what}: larger than ${limit} bytes`);
}

/**
 * Puts `content` at `path` below `root` as a whole or not at all: exclusive temporary file, fsync, rename, fsync of the directory. Whoever is killed in between
 * leaves the old file, and at most a `.new-…` beside it. The mode is exact, whatever the umask. The parent directory must exist.
 */
export function replaceFileBeneath(
  host: Host,
  root: string,
  path: string,
  content: string | Uint8Array,
  mode: number,
): void {
  const parent = dirname(path);
  const name = path.slice(parent === "." ? 0 : parent.length + 1);
  const directory = openBeneath(host, root, parent, O.RDONLY | O.DIRECTORY);
  const temporary = `${TEMPORARY_PREFIX}${crypto.getRandomValues(Buffer.alloc(12)).toString("hex")}`;
  try {
    const fd = host.openat(directory, temporary, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0o600);
    try {
      writeAll(fd, typeof content === "string" ? Buffer.from(content) : content);
      host.fchmod(fd, mode);
      fsyncSync(fd);
      host.renameat2(directory, temporary, directory, name, 0);
    } catch (error) {
      removeQuietly(host, directory, temporary);
      throw error;
    } finally {
      host.close(fd);
    }
    fsyncSync(directory);
  } finally {
    host.close(directory);
  }
}

/** Names that {@link replaceFileBeneath} leaves behind when it is killed begin so. */
export const TEMPORARY_PREFIX = ".new-";

/** Removes a file (never a directory) below `root`; false when there was none. Needs no free space. */
export function removeFileBeneath(host: Host, root: string, path: string): boolean {
  let directory: number;
  try {
    directory = openBeneath(host, root, dirname(path), O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
  try {
    host.unlinkat(directory, path.slice(path.lastIndexOf("/") + 1), 0);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  } finally {
    host.close(directory);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
}

function removeQuietly(host: Host, directory: number, name: string): void {
  try {
    host.unlinkat(directory, name, 0);
  } catch {
    // Not worth hiding the first error; `image gc` removes what is left.
  }
}
