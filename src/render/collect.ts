/** Collecting rendered content that nothing needs any more. */

import { readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { type ImageId, isImageId } from "../core/digest.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { isLayerId, isTreeId, layerLink } from "./layer-id.ts";
import { discardLayer, layerMark } from "./layer-store.ts";
import { findRenderedTree, treeLayers } from "./trees.ts";

export interface Needed {
  /** Trees that pods refer to. */
  readonly treesInUse: ReadonlySet<string>;
  /** Images with a record in the store: their trees stay, because the next run needs them. */
  readonly imagesKnown: ReadonlySet<ImageId>;
}

export interface Collected {
  readonly trees: number;
  readonly layers: number;
  /** Bytes of file content in the removed layers. */
  readonly bytes: number;
  /** Trees in use without a readable record: it is not known which layers they need, so no layer was removed. */
  readonly unknownTrees: readonly string[];
}

/**
 * Removes tree records, layers and what killed renders left, unless `needed` names them. The caller holds the prepare lock exclusively, from before it gathered
 * `needed`: no render runs then, and no pod is being prepared. Records go before layers, so a crash in between leaves nothing that names a missing layer.
 * Throws what removeTree throws.
 */
export function collectLayers(dataDir: DataDir, host: Host, needed: Needed): Collected {
  const kept = new Set<string>();
  const keepLayers = (layers: readonly { layerId: string }[] | undefined): void => {
    for (const { layerId } of layers ?? []) kept.add(layerId);
  };
  const keptTrees = new Set(needed.treesInUse);
  for (const image of needed.imagesKnown) {
    const tree = findRenderedTree(dataDir, image);
    if (tree === undefined) continue;
    keptTrees.add(tree.treeId);
    keepLayers(tree.layers);
  }
  const unknownTrees = [...needed.treesInUse].filter((treeId) => {
    const layers = treeLayers(dataDir, treeId);
    keepLayers(layers);
    return layers === undefined;
  });
  // A running pod whose layers went away would lose its files.
  if (unknownTrees.length > 0) return { trees: 0, layers: 0, bytes: 0, unknownTrees };
  const trees = removeRecords(dataDir, needed, keptTrees);
  return { trees, ...removeLayers(host, dataDir, kept), unknownTrees };
}

/** Bytes of file content in a layer; 0 when it is not rendered. */
export function layerSize(dataDir: DataDir, layerId: string): number {
  return layerMark(dataDir, layerId)?.size ?? 0;
}

function removeRecords(dataDir: DataDir, needed: Needed, keptTrees: ReadonlySet<string>): number {
  let removed = 0;
  for (const file of list(dataDir.trees)) {
    const name = file.endsWith(".json") ? file.slice(0, -".json".length) : file;
    if (isTreeId(name) ? keptTrees.has(name) : isImageId(name) && needed.imagesKnown.has(name)) continue;
    unlinkSync(join(dataDir.trees, file));
    if (isTreeId(name)) removed += 1;
  }
  return removed;
}

function removeLayers(host: Host, dataDir: DataDir, kept: ReadonlySet<string>): { layers: number; bytes: number } {
  let [layers, bytes] = [0, 0];
  for (const name of list(dataDir.layers)) {
    if (kept.has(name)) continue;
    if (!isLayerId(name)) {
      removeName(host, dataDir.layers, name);
      continue;
    }
    bytes += layerSize(dataDir, name);
    layers += 1;
    discardLayer(host, dataDir, name);
  }
  const links = new Set([...kept].map(layerLink));
  for (const name of list(dataDir.layerLinks)) if (!links.has(name)) removeName(host, dataDir.layerLinks, name);
  // Nobody waits for a lock while the prepare lock is held exclusively.
  for (const name of list(dataDir.layerLocks)) if (!kept.has(name)) removeName(host, dataDir.layerLocks, name);
  return { layers, bytes };
}

function removeName(host: Host, directory: string, name: string): void {
  const parent = host.openat(AT_FDCWD, directory, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(host, parent, name);
  } finally {
    host.close(parent);
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
