/**
 * The copy for --no-overlay (and for hosts whose data directory lies on an overlay): the layers of a tree merged into a plain directory, by the same rules by
 * which an overlay would show them.
 */

import { readdirSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { internalError } from "../core/errors.ts";
import { type IdRange, idOnHost } from "../core/id-range.ts";
import type { RenderedLayer } from "../core/spine.ts";
import { AT, AT_FDCWD, type FileStatus, type Host, isDirectory, O, RESOLVE, S } from "../host/mod.ts";
import { type Attributes, attributesOf, setAttributes, setAttributesAt } from "./attributes.ts";
import { isWhiteout, type Lower, lookBelow, pathIn, statusOf } from "./below.ts";
import { copyContent } from "./copy-content.ts";
import { type ByteString, fromBytes, toBytes } from "./tar/bytes.ts";

export interface CopyOptions {
  /** The pod's users, for a pod with a user namespace: every owner and group becomes one of theirs. */
  readonly ids?: IdRange | undefined;
}

interface Copy {
  readonly host: Host;
  readonly lowers: readonly Lower[];
  readonly target: number;
  readonly ids: IdRange | undefined;
  /** First copy of a file with several names, by layer and inode. */
  readonly linked: Map<string, ByteString>;
}

interface Directory {
  readonly path: ByteString;
  /** Layers that form it, topmost first. */
  readonly layers: readonly number[];
}

const EXCLUSIVE = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC;

/**
 * Copies a rendered tree into `target`, an existing, empty directory that only root can write. Keeps owners, modes, times, extended attributes, hard links within
 * a layer, holes, and device nodes; shares blocks where the file system can. Synchronous; the caller holds the prepare lock. Throws SystemCallError.
 */
export function copyTree(
  host: Host,
  dataDir: DataDir,
  tree: { readonly layers: readonly RenderedLayer[] },
  target: string,
  options: CopyOptions = {},
): void {
  const open = (path: string): number => host.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  const fds: number[] = [];
  const mask = host.umask(0);
  try {
    const lowers = tree.layers.map(({ layerId }) => {
      const path = dataDir.layerRootfs(layerId);
      const fd = open(path);
      fds.push(fd);
      return { path, fd };
    });
    const targetFd = open(target);
    fds.push(targetFd);
    const copy: Copy = { host, lowers, target: targetFd, ids: options.ids, linked: new Map() };
    // A list instead of recursion: the depth of a tree is an image's choice.
    const directories: Directory[] = [{ path: "", layers: lowers.map((_, index) => index) }];
    for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
      directories.push(...fillDirectory(copy, next));
    }
  } finally {
    host.umask(mask);
    for (const fd of fds) host.close(fd);
  }
}

/** Copies the entries of one directory, and sets its attributes; the result are its subdirectories, made but empty. */
function fillDirectory(copy: Copy, directory: Directory): Directory[] {
  const { host } = copy;
  const resolve = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;
  const path = directory.path === "" ? "." : directory.path;
  const fd = host.openat2(copy.target, toBytes(path), O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, resolve);
  const subdirectories: Directory[] = [];
  try {
    for (const { name, layer, status } of mergedEntries(copy, directory)) {
      const entryPath = directory.path === "" ? name : `${directory.path}/${name}`;
      if (isDirectory(status)) {
        const candidates = directory.layers.slice(directory.layers.indexOf(layer));
        const { directories } = lookBelow(host, copy.lowers, candidates, entryPath);
        host.mkdirat(fd, toBytes(name), 0o700);
        subdirectories.push({ path: entryPath, layers: directories });
      } else copyEntry(copy, fd, name, entryPath, layer, status);
    }
    const [top] = directory.layers;
    // Nothing more is created directly in this directory, so its times are final.
    if (top !== undefined) setAttributes(host, fd, attributesIn(copy, top, directory.path));
  } finally {
    host.close(fd);
  }
  return subdirectories;
}

interface MergedEntry {
  name: ByteString;
  /** The topmost layer that has it. */
  layer: number;
  status: FileStatus;
}

/** Every name that the directory shows. */
function* mergedEntries(copy: Copy, directory: Directory): Generator<MergedEntry> {
  const seen = new Set<ByteString>();
  const prefix = directory.path === "" ? "" : `${directory.path}/`;
  for (const layer of directory.layers) {
    const lower = lowerAt(copy, layer);
    for (const bytes of readdirSync(pathIn(lower, toBytes(directory.path)), { encoding: "buffer" })) {
      const name = fromBytes(bytes);
      if (seen.has(name)) continue;
      seen.add(name);
      const status = statusOf(copy.host, lower.fd, toBytes(prefix + name));
      if (status !== undefined && !isWhiteout(status)) yield { name, layer, status };
    }
  }
}

function copyEntry(
  copy: Copy,
  directoryFd: number,
  name: ByteString,
  path: ByteString,
  layer: number,
  status: FileStatus,
): void {
  const { host } = copy;
  const lower = lowerAt(copy, layer);
  const [bytes, source] = [toBytes(name), toBytes(path)];
  const key = status.nlink > 1 ? `${layer}:${status.ino}` : undefined;
  const first = key === undefined ? undefined : copy.linked.get(key);
  if (first !== undefined) {
    host.linkat(copy.target, toBytes(first), directoryFd, bytes, 0);
    return;
  }
  if (key !== undefined) copy.linked.set(key, path);
  const attributes = attributesIn(copy, layer, path, status);
  switch (status.mode & S.IFMT) {
    case S.IFREG:
      copyFile(host, lower.fd, source, directoryFd, bytes, status.size, attributes);
      return;
    case S.IFLNK:
      host.symlinkat(host.readlinkat(lower.fd, source), directoryFd, bytes);
      break;
    case S.IFIFO:
    case S.IFCHR:
    case S.IFBLK: {
      const device = { major: Math.floor(status.rdev / 0x100000), minor: status.rdev % 0x100000 };
      host.mknodat(directoryFd, bytes, status.mode, device);
      break;
    }
    default: // A socket means nothing without the process that listens.
      return;
  }
  setAttributesAt(host, directoryFd, bytes, attributes);
}

function copyFile(
  host: Host,
  fromDirectory: number,
  from: Buffer,
  toDirectory: number,
  to: Buffer,
  size: number,
  attributes: Attributes,
): void {
  const source = host.openat(fromDirectory, from, O.RDONLY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    const target = host.openat(toDirectory, to, EXCLUSIVE, 0o600);
    try {
      copyContent(host, source, target, size);
      setAttributes(host, target, attributes);
    } finally {
      host.close(target);
    }
  } finally {
    host.close(source);
  }
}

function attributesIn(copy: Copy, layer: number, path: ByteString, known?: FileStatus): Attributes {
  const lower = lowerAt(copy, layer);
  const bytes = toBytes(path);
  const flags = bytes.length === 0 ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW;
  const status = known ?? copy.host.statat(lower.fd, bytes, flags);
  const attributes = attributesOf(copy.host, pathIn(lower, bytes), status);
  const { ids } = copy;
  if (ids === undefined) return attributes;
  return { ...attributes, uid: idOnHost(ids, attributes.uid), gid: idOnHost(ids, attributes.gid) };
}

function lowerAt(copy: Copy, layer: number): Lower {
  const lower = copy.lowers[layer];
  if (lower === undefined) throw internalError(`there is no layer ${layer}`);
  return lower;
}
