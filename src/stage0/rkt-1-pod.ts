/** Pods that rkt 1.x prepared: what they stand on is in its tree store, and their stage1 is the one that started them. */

import { existsSync, readFileSync } from "node:fs";
import { type DataDir, PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "../host/mod.ts";
import { hasRkt1Tree, rkt1TreeRootfs, treeLayers } from "../render/mod.ts";

/**
 * Pods of this rkt say so. (Those of its first releases do not: their stage1 has a record here, and no directory of rkt 1.x. The two versions name trees alike, so that a tree alone does
 * not tell.)
 */
export function isRkt1Pod(dataDir: DataDir, podDir: string): boolean {
  const files = new PodFiles(podDir);
  if (existsSync(files.preparedBy)) return false;
  const treeId = readTreeId(files.stage1TreeId);
  return treeId === undefined || hasRkt1Tree(dataDir, treeId) || treeLayers(dataDir, treeId) === undefined;
}

/** The directory of the files that a file of such a pod (`stage1TreeStoreID`, an app's `treeStoreID`) names. Throws NOT_FOUND when it is gone. */
export function rkt1Rootfs(dataDir: DataDir, treeIdFile: string): string {
  const treeId = readTreeId(treeIdFile);
  const rootfs = treeId === undefined ? undefined : rkt1TreeRootfs(dataDir, treeId);
  if (rootfs !== undefined) return rootfs;
  throw new RktError(
    "NOT_FOUND",
    `Cannot find what rkt 1.x made the pod of: the tree that ${quoted(treeIdFile)} names is not in ${quoted(dataDir.trees)}`,
  );
}

function readTreeId(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
