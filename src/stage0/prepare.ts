/**
 * Step 5: RenderedTree[] + options → PreparedPod. Writes the pod's directory (docs/on-disk-format.md) and nothing else: what is mounted is mounted at the
 * start, so that a prepared pod survives a reboot.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import type { IdRange } from "../core/id-range.ts";
import type { PreparedPod, RenderedTree } from "../core/spine.ts";
import { RKT_VERSION } from "../core/version.ts";
import { asFileOwner, linux } from "../host/mod.ts";
import { openUserNamespace } from "../host/user-namespace.ts";
import { formatPodManifest, type PodManifest } from "../spec/appc/mod.ts";
import { supportsOverlay } from "./mount-overlay.ts";
import type { Stage1 } from "./stage1-image.ts";

export interface PrepareInput {
  readonly manifest: PodManifest;
  /** The tree of each app's image, by app name. */
  readonly trees: ReadonlyMap<string, RenderedTree>;
  readonly stage1: Stage1;
  readonly noOverlay: boolean;
  /** The pod's users, where it has a user namespace; recorded in its directory before. */
  readonly ids: IdRange | undefined;
}

/** Fills `pod.dir` (under pods/prepare, locked by this process). The caller holds prepareLock shared, so that no tree is collected before it is named here. */
export async function preparePod(engine: Engine, pod: PreparedPod, input: PrepareInput): Promise<void> {
  const files = new PodFiles(pod.dir);
  writeNew(files.preparedBy, `${RKT_VERSION}\n`, 0o640);
  writeNew(files.stage1TreeId, input.stage1.tree.treeId, 0o640);
  writeNew(files.stage1Manifest, input.stage1.tree.manifest, 0o640);
  for (const [app, tree] of input.trees) {
    writeNew(files.appTreeId(app), tree.treeId, 0o640);
    writeNew(files.appImageManifest(app), tree.manifest, 0o640);
  }
  const overlay = !input.noOverlay && overlaySupported(engine) && (await mappingSupported(engine, pod, input));
  if (overlay) {
    mkdirSync(files.stage1Rootfs, { recursive: true, mode: 0o755 });
    writeNew(files.overlayPrepared, "", 0o640);
  } else {
    await copyTrees(engine, files, input);
  }
  writeNew(files.manifest, formatPodManifest(input.manifest), 0o640);
}

function overlaySupported(engine: Engine): boolean {
  if (supportsOverlay(linux, engine.dataDir.root)) return true;
  engine.emit({
    kind: "notice",
    source: "stage0",
    text: `disabling overlay support: "${engine.dataDir.root}" lies on an overlay file system itself`,
  });
  return false;
}

/** Looks only for a pod with a user namespace. Without, each file is copied and given to the pod's users. */
async function mappingSupported(engine: Engine, pod: PreparedPod, { ids, stage1 }: PrepareInput): Promise<boolean> {
  const [layer] = stage1.tree.layers;
  if (ids === undefined || layer === undefined) return true;
  const { canMapLayers } = await import("./map-layers.ts");
  const directory = engine.dataDir.layerRootfs(layer.layerId);
  const map = { from: 0, to: ids.shift, count: ids.count };
  const scratch = new PodFiles(pod.dir).mappedLayers;
  if (canMapLayers(linux, directory, scratch, await openUserNamespace(map))) return true;
  engine.emit({
    kind: "notice",
    source: "stage0",
    text: `copying the images for the pod's users: this kernel does not map owners on the file system of "${engine.dataDir.root}"`,
  });
  return false;
}

async function copyTrees(engine: Engine, files: PodFiles, input: PrepareInput): Promise<void> {
  const { copyTree } = await import("../render/mod.ts");
  const options = { ids: input.ids };
  mkdirSync(files.stage1Rootfs, { recursive: true, mode: 0o755 });
  copyTree(linux, engine.dataDir, input.stage1.tree, files.stage1Rootfs, options);
  for (const [app, tree] of input.trees) {
    asFileOwner(linux, input.ids, () => mkdirSync(files.appRootfs(app), { recursive: true, mode: 0o755 }));
    copyTree(linux, engine.dataDir, tree, files.appRootfs(app), options);
  }
}

/** A new file with its parents; never replaces one. */
export function writeNew(path: string, content: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  writeFileSync(path, content, { mode, flag: "wx" });
}

/** For a pod that is to wait (`rkt prepare`): it must be whole after a power cut. */
export function syncPod(pod: PreparedPod): void {
  const fd = openSync(pod.dir, "r");
  try {
    fsyncSync(fd);
    linux.syncfs(fd);
  } finally {
    closeSync(fd);
  }
}
