/** Collecting rendered content that nothing needs any more. */

import { unlinkSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { type ImageId, isImageId } from "../core/digest.ts";
import { directoryNames } from "../host/directory-names.ts";
import { AT_FDCWD, type Host, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { isLayerId, isTreeId, layerLink } from "./layer-id.ts";
import { discardLayer, layerMark } from "./layer-store.ts";
import { discardRkt1Tree, hasRkt1Tree } from "./rkt-1-trees.ts";
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
  /** Trees in use without a readable record, and not of rkt 1.x: it is not known which layers they need, so no layer was removed. */
  readonly unknownTrees: readonly string[];
}

/** What {@link collectLayers} would remove: names in the directories of trees, layers, links and locks. */
export interface CollectPlan {
  readonly trees: readonly string[];
  readonly layers: readonly string[];
  readonly links: readonly string[];
  readonly locks: readonly string[];
  readonly unknownTrees: readonly string[];
}

/** Decides what nothing needs. The caller holds the prepare lock exclusively, if it is going to act on the answer. */
export function planLayers(dataDir: DataDir, needed: Needed): CollectPlan {
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
    return layers === undefined && !hasRkt1Tree(dataDir, treeId);
  });
  // A running pod whose layers went away would lose its files.
  if (unknownTrees.length > 0) return { trees: [], layers: [], links: [], locks: [], unknownTrees };
  const links = new Set([...kept].map(layerLink));
  return {
    trees: directoryNames(dataDir.trees).filter((file) =>
      hasRkt1Tree(dataDir, file) ? !needed.treesInUse.has(file) : !isKeptRecord(file, needed, keptTrees),
    ),
    layers: directoryNames(dataDir.layers).filter((name) => !kept.has(name)),
    links: directoryNames(dataDir.layerLinks).filter((name) => !links.has(name)),
    locks: directoryNames(dataDir.layerLocks).filter((name) => !kept.has(name)),
    unknownTrees,
  };
}

/**
 * Removes tree records, layers and what killed renders left, unless `needed` names them. The caller holds the prepare lock exclusively, from before it gathered
 * `needed`: no render runs then, and no pod is being prepared. Records go before layers, so a crash in between leaves nothing that names a missing layer.
 * Throws what removeTree throws.
 */
export function collectLayers(dataDir: DataDir, host: Host, needed: Needed): Collected {
  const plan = planLayers(dataDir, needed);
  for (const file of plan.trees) {
    if (hasRkt1Tree(dataDir, file)) discardRkt1Tree(host, dataDir, file);
    else unlinkSync(join(dataDir.trees, file));
  }
  let bytes = 0;
  for (const name of plan.layers) {
    if (!isLayerId(name)) {
      removeName(host, dataDir.layers, name);
      continue;
    }
    bytes += layerSize(dataDir, name);
    discardLayer(host, dataDir, name);
  }
  for (const name of plan.links) removeName(host, dataDir.layerLinks, name);
  // Nobody waits for a lock while the prepare lock is held exclusively.
  for (const name of plan.locks) removeName(host, dataDir.layerLocks, name);
  const trees = plan.trees.filter((file) => isTreeId(file.replace(/\.json$/, ""))).length;
  return { trees, layers: plan.layers.filter(isLayerId).length, bytes, unknownTrees: plan.unknownTrees };
}

/** Bytes of file content in a layer; 0 when it is not rendered. */
export function layerSize(dataDir: DataDir, layerId: string): number {
  return layerMark(dataDir, layerId)?.size ?? 0;
}

function isKeptRecord(file: string, needed: Needed, keptTrees: ReadonlySet<string>): boolean {
  const name = file.endsWith(".json") ? file.slice(0, -".json".length) : file;
  return isTreeId(name) ? keptTrees.has(name) : isImageId(name) && needed.imagesKnown.has(name);
}

function removeName(host: Host, directory: string, name: string): void {
  const parent = host.openat(AT_FDCWD, directory, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(host, parent, name);
  } finally {
    host.close(parent);
  }
}
