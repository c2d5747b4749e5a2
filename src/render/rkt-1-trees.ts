/**
 * Unpacked images of rkt 1.x: `cas/tree/deps-sha512-…/{rootfs/,manifest,hash,rendered,image}`, root only, each whole in itself. Nothing here makes one; pods of rkt 1.x stand on them until
 * they are gone.
 */

import { lstatSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { directoryNames } from "../host/directory-names.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { isTreeId } from "./layer-id.ts";

/** rkt 1.x's mark of a whole tree; removed first. */
const MARK = "rendered";

export function hasRkt1Tree(dataDir: DataDir, treeId: string): boolean {
  return isTreeId(treeId) && isDirectory(dataDir.rkt1Tree(treeId));
}

/** The directory of the tree's files; undefined when there is none, or when it is not whole. */
export function rkt1TreeRootfs(dataDir: DataDir, treeId: string): string | undefined {
  if (!isTreeId(treeId)) return undefined;
  const tree = dataDir.rkt1Tree(treeId);
  const rootfs = join(tree, "rootfs");
  const isWhole = lstatSync(join(tree, MARK), { throwIfNoEntry: false })?.isFile() === true;
  return isWhole && isDirectory(rootfs) ? rootfs : undefined;
}

/** Their names. */
export function rkt1Trees(dataDir: DataDir): string[] {
  return directoryNames(dataDir.trees).filter((name) => hasRkt1Tree(dataDir, name));
}

/** Removes one. The caller holds the prepare lock exclusively, as rkt 1.x did, and has seen that no pod stands on it. */
export function discardRkt1Tree(host: Host, dataDir: DataDir, treeId: string): void {
  const parent = host.openat(AT_FDCWD, dataDir.trees, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    try {
      host.unlinkat(parent, `${treeId}/${MARK}`, 0);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    removeTree(host, parent, treeId);
  } finally {
    host.close(parent);
  }
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
