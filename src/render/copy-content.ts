/** Copying a file's content with what the file system offers: shared blocks where it can (btrfs, xfs), in the kernel else, holes kept. */

import { ftruncateSync } from "node:fs";
import { type Host, isErrno, SEEK } from "../host/mod.ts";

/** At most this much in one call, so that a signal is not kept waiting behind a large file. */
const PIECE = 64 * 1024 * 1024;

/** Copies the `size` bytes of `fromFd` into the empty file `toFd`. Throws SystemCallError. */
export function copyContent(host: Host, fromFd: number, toFd: number, size: number): void {
  if (size === 0) return;
  try {
    host.cloneFile(fromFd, toFd);
    return;
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "ENOTSUP", "EXDEV", "EINVAL", "ENOTTY", "EPERM")) throw error;
  }
  for (let position = nextData(host, fromFd, 0); position < size; ) {
    const end = Math.min(host.seek(fromFd, position, SEEK.HOLE), size);
    copyPart(host, fromFd, toFd, position, end);
    position = nextData(host, fromFd, end);
  }
  ftruncateSync(toFd, size);
}

/** Where data begins at or after `position`; past the end when only a hole follows. */
function nextData(host: Host, fd: number, position: number): number {
  try {
    return host.seek(fd, position, SEEK.DATA);
  } catch (error) {
    if (isErrno(error, "ENXIO")) return Number.MAX_SAFE_INTEGER;
    throw error;
  }
}

function copyPart(host: Host, fromFd: number, toFd: number, start: number, end: number): void {
  host.seek(fromFd, start, SEEK.SET);
  host.seek(toFd, start, SEEK.SET);
  for (let position = start; position < end; ) {
    const copied = host.copyFileRange(fromFd, toFd, Math.min(end - position, PIECE));
    if (copied === 0) return;
    position += copied;
  }
}
