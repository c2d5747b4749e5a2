/** Reading files of a pod's directory. The pod's own root can write below stage1/rootfs, so nothing read there may be a link, a device or endless. */

import { readSync } from "node:fs";
import { AT, O, RESOLVE, S } from "../host/constants.ts";
import { errnoNumber, isErrno, quotedPath, SystemCallError } from "../host/errno.ts";
import type { FileStatus, Host } from "../host/host.ts";
import type { Pod } from "./find.ts";

export interface PodFileContent {
  readonly text: string;
  /** Modification time, nanoseconds since the epoch. */
  readonly mtime: bigint;
}

const BIGGEST_FILE = 16 * 1024 * 1024;

/** No link anywhere on the way: one placed by the pod would make rkt read, or wait for, a file of the host. */
const STRICT = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;

/** A regular file of the pod, by its path relative to the pod's directory; undefined when there is none (a link counts as none). */
export function readPodFile(host: Host, pod: Pod, path: string, limit = BIGGEST_FILE): PodFileContent | undefined {
  const fd = openInside(host, pod, path, O.RDONLY | O.NONBLOCK | O.NOCTTY);
  if (fd === undefined) return undefined;
  try {
    const status = host.statat(fd, "", AT.EMPTY_PATH);
    if ((status.mode & S.IFMT) !== S.IFREG || status.size > limit) return undefined;
    return { text: readAll(fd, status.size), mtime: timeOf(status) };
  } finally {
    host.close(fd);
  }
}

/** Modification time of anything but a link; undefined when it does not exist. */
export function podFileTime(host: Host, pod: Pod, path: string): bigint | undefined {
  // A name in the pod's own directory has no way there that could lead elsewhere.
  if (!path.includes("/")) return ownTime(host, pod, path);
  const fd = openInside(host, pod, path, O.PATH);
  if (fd === undefined) return undefined;
  try {
    return timeOf(host.statat(fd, "", AT.EMPTY_PATH));
  } finally {
    host.close(fd);
  }
}

function ownTime(host: Host, pod: Pod, name: string): bigint | undefined {
  try {
    const status = host.statat(pod.fd, name, AT.SYMLINK_NOFOLLOW);
    return (status.mode & S.IFMT) === S.IFLNK ? undefined : timeOf(status);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function timeOf({ mtimeSeconds, mtimeNanoseconds }: FileStatus): bigint {
  return BigInt(mtimeSeconds) * 1_000_000_000n + BigInt(mtimeNanoseconds);
}

/** Target of a symbolic link that is the last part of `path`. */
export function readPodLink(host: Host, pod: Pod, path: string): string | undefined {
  const slash = path.lastIndexOf("/");
  const parent = slash < 0 ? undefined : openInside(host, pod, path.slice(0, slash), O.PATH | O.DIRECTORY);
  if (slash >= 0 && parent === undefined) return undefined;
  try {
    return host.readlinkat(parent ?? pod.fd, path.slice(slash + 1)).toString("utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EINVAL")) return undefined;
    throw error;
  } finally {
    if (parent !== undefined) host.close(parent);
  }
}

/** A decimal number in a file ("1234\n"). */
export function readPodNumber(host: Host, pod: Pod, path: string): number | undefined {
  const match = /^\s*(-?[0-9]{1,10})\s*$/.exec(readPodFile(host, pod, path, 64)?.text ?? "");
  return match === null ? undefined : Number(match[1]);
}

/** ENXIO: a FIFO or socket. ESTALE, ENOTCONN: what a dead mount answers. */
const NOT_THERE = ["ENOENT", "ENOTDIR", "ELOOP", "EXDEV", "ENXIO", "ESTALE", "ENOTCONN"].map(errnoNumber);

function openInside(host: Host, pod: Pod, path: string, flags: number): number | undefined {
  const result = host.tryOpenat2(pod.fd, path, flags | O.NOFOLLOW | O.CLOEXEC, 0, STRICT);
  if (result >= 0) return result;
  if (NOT_THERE.includes(-result)) return undefined;
  throw new SystemCallError("open", -result, quotedPath(path));
}

/** For every small file: memory of its own for each of the thousands that a list reads took as long as the reading. */
const SMALL = Buffer.allocUnsafeSlow(64 * 1024);

function readAll(fd: number, size: number): string {
  const buffer = size <= SMALL.length ? SMALL : Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd, buffer, length, size - length, null);
    if (count === 0) break;
    length += count;
  }
  return buffer.toString("utf8", 0, length);
}
