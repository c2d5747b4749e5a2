/** Owner, mode, times and extended attributes of what is placed in a layer. */

import { AT, type FileStatus, type Host, type HostPath, isErrno, S, type Timestamp } from "../host/mod.ts";
import type { Xattr } from "./tar/extended.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly xattrs: readonly Xattr[];
}

/**
 * Names that may come from an archive. trusted.* and security.* (but file capabilities, which images need for ping and friends) are the host's to set; the
 * overlay's own marks would let an archive hide or redirect what layers below show.
 */
export function isAllowedXattr(name: string): boolean {
  if (name === "security.capability") return true;
  return name.startsWith("user.") && !name.startsWith("user.overlay.");
}

/** Sets everything on an open file or directory; times last, since the rest changes them not but writing did. */
export function setAttributes(host: Host, fd: number, attributes: Attributes): void {
  // chown(2) clears setuid bits and capabilities, so the owner comes first.
  host.fchownat(fd, "", attributes.uid, attributes.gid, AT.EMPTY_PATH);
  host.fchmod(fd, attributes.mode & 0o7777);
  for (const xattr of attributes.xattrs) setXattr(host, fd, xattr);
  setTimes(host, fd, attributes.mtime);
}

/** A file system without extended attributes still gets the file, as with every other unpacker. */
function setXattr(host: Host, fd: number, xattr: Xattr): void {
  if (!isAllowedXattr(xattr.name)) return;
  try {
    host.fsetxattr(fd, Buffer.from(xattr.name, "latin1"), xattr.value);
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
  }
}

export function setTimes(host: Host, fd: number, mtime: Timestamp): void {
  host.utimensat(fd, "", mtime, mtime, AT.EMPTY_PATH);
}

/** Owner and times of something that cannot be opened: a link, a fifo, a node. Its mode was given when it was made. */
export function setAttributesAt(
  host: Host,
  dirfd: number,
  name: HostPath,
  attributes: Omit<Attributes, "xattrs" | "mode">,
): void {
  host.fchownat(dirfd, name, attributes.uid, attributes.gid, AT.SYMLINK_NOFOLLOW);
  host.utimensat(dirfd, name, attributes.mtime, attributes.mtime, AT.SYMLINK_NOFOLLOW);
}

/** The attributes of `path` (absolute; not followed), as far as they may be carried to another layer. */
export function attributesOf(host: Host, path: Buffer, status: FileStatus): Attributes {
  const type = status.mode & S.IFMT;
  // user.* exists on files and directories only (xattr(7)).
  const names = type === S.IFREG || type === S.IFDIR ? host.llistxattr(path) : [];
  return {
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    mtime: { seconds: status.mtimeSeconds, nanoseconds: status.mtimeNanoseconds },
    xattrs: names
      .map((name) => ({ name: name.toString("latin1"), bytes: name }))
      .filter(({ name }) => isAllowedXattr(name))
      .map(({ name, bytes }) => ({ name, value: host.lgetxattr(path, bytes) })),
  };
}
