/**
 * A digest of a layer's directory: names, types, modes, owners, times, links, devices, extended attributes and contents. The unpacker computes it when it has filled a layer, with
 * the content hashes that it gathered while writing; `image verify` computes it again from the disk. It finds damage, and changes by hand; against somebody
 * who can write the layers, who is root, nothing that lies beside them helps.
 */

import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { hashFile } from "../host/hash-file.ts";
import { AT, type FileStatus, type Host, isDirectory, O, S } from "../host/mod.ts";
import { isAllowedXattr } from "./attributes.ts";
import { type Lower, OPAQUE, pathIn } from "./below.ts";
import { type ByteString, fromBytes, toBytes } from "./tar/bytes.ts";
import type { Device } from "./unpack/devices.ts";

/** A file that the unpacker wrote. */
export interface KnownContent {
  /** Hexadecimal. */
  readonly sha256: string;
  /** True: it got no extended attributes, so there is none to ask for. */
  readonly plain: boolean;
}

/** What the unpacker knows and the disk does not tell as cheaply, or not yet. By inode number. */
export interface KnownFiles {
  readonly contents: ReadonlyMap<number, KnownContent>;
  /** Files that keep the place of a device node. */
  readonly devices: ReadonlyMap<number, Device>;
}

const NOTHING: KnownFiles = { contents: new Map(), devices: new Map() };

/**
 * "sha256:…" of the tree at `root`. One record per entry, sorted by the bytes of the names, depth first: path, type and mode and owner and time and device number, target or content
 * or first name of a hard link, attributes; each ends with NUL, which occurs in none of them. Throws SystemCallError.
 */
export function treeDigest(host: Host, root: Lower, known: KnownFiles = NOTHING): string {
  const hash = createHash("sha256");
  const firstNames = new Map<number, ByteString>();
  // A list instead of recursion: the depth of a tree is an image's choice.
  const paths: ByteString[] = [""];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const bytes = toBytes(path);
    const status = host.statat(root.fd, bytes, path === "" ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW);
    if (isDirectory(status)) {
      const prefix = path === "" ? "" : `${path}/`;
      const names = readdirSync(pathIn(root, bytes), { encoding: "buffer" }).map(fromBytes).sort();
      for (const name of names.reverse()) paths.push(prefix + name);
    }
    hash.update(toBytes(`${path}\0${describe(host, root, path, status, known, firstNames)}\0`));
  }
  return `sha256:${hash.digest("hex")}`;
}

function describe(
  host: Host,
  root: Lower,
  path: ByteString,
  status: FileStatus,
  known: KnownFiles,
  firstNames: Map<number, ByteString>,
): ByteString {
  const device = known.devices.get(status.ino);
  if (device !== undefined) {
    const { attributes, type, major, minor } = device;
    const mode = (type === "block" ? S.IFBLK : S.IFCHR) | attributes.mode;
    const { seconds, nanoseconds } = attributes.mtime;
    const node = { ...status, ...attributes, mode, mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds };
    return `${facts({ ...node, rdev: major * 0x100000 + minor })}\0${linkedTo(path, status, firstNames)}\0`;
  }
  const attributes = known.contents.get(status.ino)?.plain === true ? "" : xattrs(host, root, path, status);
  return `${facts(status)}\0${detail(host, root, path, status, known, firstNames)}\0${attributes}`;
}

function facts({ mode, uid, gid, mtimeSeconds, mtimeNanoseconds, rdev }: FileStatus): string {
  return `${mode.toString(8)} ${uid}:${gid} ${mtimeSeconds}.${mtimeNanoseconds} ${rdev}`;
}

function detail(
  host: Host,
  root: Lower,
  path: ByteString,
  status: FileStatus,
  known: KnownFiles,
  firstNames: Map<number, ByteString>,
): ByteString {
  if (isDirectory(status)) return "";
  const first = linkedTo(path, status, firstNames);
  if (first !== "") return first;
  switch (status.mode & S.IFMT) {
    case S.IFLNK:
      return fromBytes(host.readlinkat(root.fd, toBytes(path)));
    case S.IFREG:
      return `${status.size} ${known.contents.get(status.ino)?.sha256 ?? contentHash(host, root, path)}`;
    default:
      return "";
  }
}

/** "=" and the name under which the file was met before; "" the first time. */
function linkedTo(path: ByteString, { ino, nlink }: FileStatus, firstNames: Map<number, ByteString>): ByteString {
  if (nlink < 2) return "";
  const first = firstNames.get(ino);
  if (first === undefined) firstNames.set(ino, path);
  return first === undefined ? "" : `=${first}`;
}

/** Only those that an image or its unpacking can have set: a host may label files with its own (security.selinux). */
function xattrs(host: Host, root: Lower, path: ByteString, status: FileStatus): ByteString {
  if (!isDirectory(status) && (status.mode & S.IFMT) !== S.IFREG) return "";
  const absolute = pathIn(root, toBytes(path));
  return host
    .llistxattr(absolute)
    .map(fromBytes)
    .filter((name) => isAllowedXattr(name) || name === OPAQUE)
    .sort()
    .map((name) => `${name}=${host.lgetxattr(absolute, toBytes(name)).toString("hex")}`)
    .join(" ");
}

function contentHash(host: Host, root: Lower, path: ByteString): string {
  const fd = host.openat(root.fd, toBytes(path), O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.CLOEXEC, 0);
  try {
    return hashFile(fd, "sha256");
  } finally {
    host.close(fd);
  }
}
