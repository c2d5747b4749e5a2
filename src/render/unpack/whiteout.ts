/**
 * Whiteouts of OCI layers (image-spec layer.md, "Whiteouts"): `.wh.NAME` removes NAME of the layers below, `.wh..wh..opq` all that a directory has
 * there. They say nothing about entries of their own layer, whichever comes first in the archive.
 */

import { readdirSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { AT, type FileStatus, isDirectory, S } from "../../host/mod.ts";
import { isWhiteout, pathIn } from "../below.ts";
import { type ByteString, fromBytes, shown, toBytes } from "../tar/bytes.ts";
import type { TarEntry } from "../tar/entry.ts";
import { last, look, makeOpaque, materialise, openDirectory, pathOf, type Walk } from "./walk.ts";

const PREFIX = ".wh.";
/** Bookkeeping of aufs in very old images (".wh..wh.plnk", ".wh..wh.aufs"); it means nothing to other file systems. */
const AUFS_PREFIX = ".wh..wh.";
const OPAQUE_NAME = ".wh..wh..opq";

export function isWhiteoutName(name: ByteString): boolean {
  return name.startsWith(PREFIX);
}

/** Applies the whiteout `name` in the chain's last directory. Throws MALICIOUS for one that would name a directory's parent. */
export function applyWhiteout(walk: Walk, name: ByteString, entry: TarEntry): void {
  if (name === OPAQUE_NAME) {
    hideAllBelow(walk);
    return;
  }
  if (name.startsWith(AUFS_PREFIX)) return;
  const hidden = name.slice(PREFIX.length);
  if (hidden === "" || hidden === "." || hidden === "..") {
    throw new RktError(
      "MALICIOUS",
      `Cannot unpack entry ${shown(entry.name)}: there is no file that such a whiteout may remove`,
    );
  }
  hide(walk, hidden);
}

/** Hides what the layers below have at `name` of the chain's last directory. */
function hide(walk: Walk, name: ByteString): void {
  const found = look(walk, name);
  if (found.hidden) return;
  const path = pathOf(walk, name);
  if (found.upper !== undefined && isDirectory(found.upper)) {
    if (found.below().length === 0) return;
    makeOpaqueAt(walk, name);
    if (!pruneEntry(walk, path)) return;
  } else if (found.upper !== undefined) {
    // A file that an entry of this layer placed hides what is below it anyway.
    if (!walk.implicit.delete(path)) return;
    walk.host.unlinkat(last(walk).fd, toBytes(name), 0);
  } else if (found.lower() === undefined) return;
  const directory = materialise(walk);
  directory.changed = true;
  walk.host.mknodat(directory.fd, toBytes(name), S.IFCHR, { major: 0, minor: 0 });
}

function hideAllBelow(walk: Walk): void {
  const directory = last(walk);
  if (directory.below().length === 0) return;
  if (walk.chain.length === 1) {
    // overlayfs does not look at the mark of a layer's root: every name is hidden by itself.
    for (const name of namesBelow(walk)) hide(walk, name);
    return;
  }
  makeOpaque(walk.host, materialise(walk).fd);
  directory.below = () => [];
  directory.changed = true;
  for (const name of namesIn(walk, pathOfDirectory(walk))) pruneEntry(walk, `${pathOfDirectory(walk)}/${name}`);
}

function makeOpaqueAt(walk: Walk, name: ByteString): void {
  const fd = openDirectory(walk.host, last(walk).fd, name);
  try {
    makeOpaque(walk.host, fd);
  } finally {
    walk.host.close(fd);
  }
}

/**
 * Removes from the directory at `path` of this layer what no entry placed: copies of what is hidden now, and whiteouts, which an overlay would list in a directory
 * that merges with nothing. True when that was all of it, the directory itself included. Its depth is bounded by the length of a path.
 */
function prune(walk: Walk, path: ByteString): boolean {
  const left = namesIn(walk, path).filter((name) => !pruneEntry(walk, `${path}/${name}`));
  if (left.length > 0 || !walk.implicit.delete(path)) return false;
  walk.host.unlinkat(walk.target.fd, toBytes(path), AT.REMOVEDIR);
  return true;
}

/** True when the entry is gone. */
function pruneEntry(walk: Walk, path: ByteString): boolean {
  const status = walk.host.statat(walk.target.fd, toBytes(path), AT.SYMLINK_NOFOLLOW);
  if (isDirectory(status)) return keepingTimes(walk, path, status, () => prune(walk, path));
  if (!isWhiteout(status) && !walk.implicit.delete(path)) return false;
  walk.host.unlinkat(walk.target.fd, toBytes(path), 0);
  return true;
}

/** Removing entries changes a directory's time, which was set already. */
function keepingTimes(walk: Walk, path: ByteString, status: FileStatus, work: () => boolean): boolean {
  if (work()) return true;
  const mtime = { seconds: status.mtimeSeconds, nanoseconds: status.mtimeNanoseconds };
  walk.host.utimensat(walk.target.fd, toBytes(path), mtime, mtime, AT.SYMLINK_NOFOLLOW);
  return false;
}

function namesIn(walk: Walk, path: ByteString): ByteString[] {
  return readdirSync(pathIn(walk.target, toBytes(path)), { encoding: "buffer" }).map(fromBytes);
}

function pathOfDirectory(walk: Walk): ByteString {
  return walk.chain
    .slice(1)
    .map(({ name }) => name)
    .join("/");
}

/** Names that the layers below have in their roots. */
function namesBelow(walk: Walk): Set<ByteString> {
  const names = walk.lowers.layers().flatMap((lower) => readdirSync(lower.path, { encoding: "buffer" }).map(fromBytes));
  return new Set(names);
}
