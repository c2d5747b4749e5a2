/**
 * Records of rendered trees, root only: `cas/tree/IMAGE.json` says which layers an image has become, and its manifest; `cas/tree/TREE.json` the layers of a tree,
 * for pods, which know trees and not images. Written by temp + fsync + rename.
 */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import { isObject, type JsonObject } from "../core/json.ts";
import type { RenderedLayer, RenderedTree } from "../core/spine.ts";
import { isLayerId, isTreeId, layerLink, MOST_LAYERS, treeIdOf } from "./layer-id.ts";
import { isRendered } from "./layer-store.ts";

/** A manifest of 4 MiB and 500 names fit. */
const LARGEST_RECORD = 16 * 1024 * 1024;

/** Records that `image` has become `layers` (topmost first). */
export function recordTree(
  dataDir: DataDir,
  image: ImageId,
  layers: readonly string[],
  manifest: string,
): RenderedTree {
  const treeId = treeIdOf(layers);
  writeRecord(dataDir.treeRecord(treeId), { layers }, true);
  writeRecord(dataDir.treeRecord(image), { treeId, layers, manifest }, false);
  return { image, treeId, layers: layers.map(rendered), manifest };
}

/** Records a tree alone, for pods that stand on it. */
export function recordTreeLayers(dataDir: DataDir, layers: readonly string[]): void {
  writeRecord(dataDir.treeRecord(treeIdOf(layers)), { layers }, true);
}

/**
 * The tree of an image, if it has been rendered and all layers are still whole. Two small reads and a look at each layer; no worker, no lock. (A tree cannot go
 * away while the caller holds the prepare lock.)
 */
export function findRenderedTree(dataDir: DataDir, image: ImageId): RenderedTree | undefined {
  const record = readRecord(dataDir.treeRecord(image));
  const layers = decodeLayers(record?.layers);
  const manifest = record?.manifest;
  if (layers === undefined || typeof manifest !== "string" || !layers.every((id) => isRendered(dataDir, id)))
    return undefined;
  return { image, treeId: treeIdOf(layers), layers: layers.map(rendered), manifest };
}

/** The layers of a tree, topmost first; undefined when there is no such tree. */
export function treeLayers(dataDir: DataDir, treeId: string): readonly RenderedLayer[] | undefined {
  if (!isTreeId(treeId)) return undefined;
  const layers = decodeLayers(readRecord(dataDir.treeRecord(treeId))?.layers);
  // The name is the content's hash: a record that says otherwise is damaged.
  return layers === undefined || treeIdOf(layers) !== treeId ? undefined : layers.map(rendered);
}

/** What mount(2) needs: the directory to be in, and the names of the lower directories from there (see design notes on the option page). */
export function overlayOptions(
  dataDir: DataDir,
  tree: { readonly layers: readonly RenderedLayer[] },
): { cwd: string; lowerdir: string } {
  return { cwd: dataDir.cas, lowerdir: tree.layers.map(({ link }) => `l/${link}`).join(":") };
}

function rendered(layerId: string): RenderedLayer {
  return { layerId, link: layerLink(layerId) };
}

function decodeLayers(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length > MOST_LAYERS || !value.every(isLayerId)) return undefined;
  return value;
}

function readRecord(path: string): JsonObject | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  if (text.length > LARGEST_RECORD) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    // Half a record cannot be (rename); damage means "not rendered", and rendering again mends it.
    return undefined;
  }
}

/** Atomically. Synced for pods, which know nothing but the tree's name; an image's record can be made again from the image. */
function writeRecord(path: string, value: unknown, sync: boolean): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const fd = openSync(temporary, "w", 0o600);
  try {
    writeFileSync(fd, `${JSON.stringify(value)}\n`);
    if (sync) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}
