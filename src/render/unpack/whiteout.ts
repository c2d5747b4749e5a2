/**
 * Whiteouts of OCI layers (image-spec layer.md, "Whiteouts"): `.wh.NAME` removes NAME of the layers below, `.wh..wh..opq` all that a directory has
 * there. They say nothing about entries of their own layer, whichever comes first in the archive.
 */

import { readdirSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { isDirectory, S } from "../../host/mod.ts";
import { isOpaque, pathIn } from "../below.ts";
import { type ByteString, fromBytes, shown, toBytes } from "../tar/bytes.ts";
import type { TarEntry } from "../tar/reader.ts";
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

/** Hides what the layers below have at `name`. */
function hide(walk: Walk, name: ByteString): void {
  const found = look(walk, name);
  if (found.upper === undefined) {
    if (found.hidden || found.lower === undefined) return;
    const directory = materialise(walk);
    directory.changed = true;
    walk.host.mknodat(directory.fd, toBytes(name), S.IFCHR, { major: 0, minor: 0 });
    return;
  }
  // A file of this layer hides what is below anyway; a directory would merge with it.
  if (isDirectory(found.upper) && found.below.length > 0) markOpaque(walk, name);
}

function markOpaque(walk: Walk, name: ByteString): void {
  const fd = openDirectory(walk.host, last(walk).fd, name);
  try {
    if (!isOpaque(walk.host, pathIn(walk.target, toBytes(pathOf(walk, name))))) makeOpaque(walk.host, fd);
  } finally {
    walk.host.close(fd);
  }
}

function hideAllBelow(walk: Walk): void {
  const directory = last(walk);
  if (directory.below.length === 0) return;
  if (walk.chain.length === 1) {
    // overlayfs does not look at the mark of a layer's root: every name is hidden by itself.
    for (const name of namesBelow(walk)) hide(walk, name);
    return;
  }
  makeOpaque(walk.host, materialise(walk).fd);
  directory.below = [];
}

/** Names that the layers below have in their roots. */
function namesBelow(walk: Walk): Set<ByteString> {
  const names = walk.lowers.flatMap((lower) => readdirSync(lower.path, { encoding: "buffer" }).map(fromBytes));
  return new Set(names);
}
