/** Calling a stage1's entrypoints that end: gc, stop, enter (docs/stage1-contract.md). `run` is in run.ts: it does not end. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import { parseImageId } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { RenderedTree } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { linux, withoutRuntimeVariables } from "../host/mod.ts";
import { treeLayers } from "../render/mod.ts";
import { parseImageManifest } from "../spec/appc/mod.ts";
import { STAGE1_ANNOTATION, STAGE1_ENV } from "../stage1-contract/mod.ts";
import { builtinFlavor, loadEntrypoints } from "./builtin-stage1.ts";

export type EndingEntrypoint = "gc" | "stop" | "enter";

/**
 * Runs an entrypoint of the pod's stage1 and returns its exit status. Code comes from the rendered tree, which only root writes, never from the pod's own
 * copy: a pod's root could have changed that, and it runs on the host as root. Throws STAGE1 when the pod or its stage1 lacks the entrypoint.
 */
export async function callStage1(
  engine: Engine,
  podDir: string,
  entrypoint: EndingEntrypoint,
  argv: readonly string[],
): Promise<number> {
  const tree = stage1Tree(engine, podDir);
  const rootfs = treeRootfs(engine, tree);
  const cwd = entrypoint === "enter" ? rootfs : podDir;
  const flavor = builtinFlavor(tree.image);
  if (flavor !== undefined) {
    const entrypoints = await loadEntrypoints(flavor);
    return entrypoints[entrypoint](argv, { host: linux, emit: engine.emit, env: process.env, podDir: cwd });
  }
  const path = join(rootfs, entrypointPath(tree, entrypoint));
  const { spawnSync } = await import("node:child_process");
  const result = spawnSync(path, [...argv], { cwd, env: stage1Environment(), stdio: "inherit" });
  if (result.error !== undefined)
    throw new RktError("STAGE1", `Cannot run the stage1 entrypoint ${quoted(path)}`, { cause: result.error });
  return result.status ?? 254;
}

/** The layers of one image of a pod, as its directory names them. */
export interface PodLayers {
  readonly treeId: string;
  /** Topmost first. */
  readonly layers: RenderedTree["layers"];
}

/** The layers that a file of the pod's directory (`stage1TreeStoreID`, an app's `treeStoreID`) names. Throws NOT_FOUND when they are gone. */
export function podLayers(engine: Engine, treeIdFile: string): PodLayers {
  let treeId: string;
  try {
    treeId = readFileSync(treeIdFile, "utf8").trim();
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot tell what the pod was made of: ${quoted(treeIdFile)} cannot be read`, {
      cause,
    });
  }
  const layers = treeLayers(engine.dataDir, treeId);
  if (layers === undefined) {
    throw new RktError(
      "NOT_FOUND",
      `Cannot find the rendered image ${quoted(treeId)}, named by ${quoted(treeIdFile)}`,
      { hint: "prepare the pod again" },
    );
  }
  return { treeId, layers };
}

/** The rendered stage1 of a pod. Throws NOT_FOUND for a pod whose tree is gone, UNSUPPORTED for a stage1 of several layers. */
export function stage1Tree(engine: Engine, podDir: string): RenderedTree {
  const files = new PodFiles(podDir);
  const { treeId, layers } = podLayers(engine, files.stage1TreeId);
  const [layer, ...others] = layers;
  if (layer === undefined || others.length > 0) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use the stage1 of the pod in ${quoted(podDir)}: it has ${layers.length} layers, expected 1`,
    );
  }
  // An App Container image without dependencies is one layer, which has the image's own id.
  return { image: parseImageId(layer.layerId), treeId, layers, manifest: readFileSync(files.stage1Manifest, "utf8") };
}

/** The directory of a stage1's files. An image of several layers (it has dependencies) has no single one. */
export function treeRootfs(engine: Engine, tree: RenderedTree): string {
  const [layer, ...others] = tree.layers;
  if (layer === undefined || others.length > 0) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use image ${tree.image} as stage1: it has ${tree.layers.length} layers, expected 1`,
    );
  }
  return engine.dataDir.layerRootfs(layer.layerId);
}

export function entrypointPath(tree: RenderedTree, entrypoint: "run" | EndingEntrypoint): string {
  const manifest = parseImageManifest(tree.manifest);
  const name = STAGE1_ANNOTATION[entrypoint];
  const path = manifest.annotations.find((pair) => pair.name === name)?.value;
  if (path === undefined)
    throw new RktError(
      "STAGE1",
      `Cannot ${entrypoint} the pod: its stage1 ${quoted(manifest.name)} has no annotation ${quoted(name)}`,
    );
  return path;
}

/** The caller's environment, and where a stage1 of this project finds a runtime for its code. */
export function stage1Environment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) env[name] = value;
  const own = process.execPath;
  return { ...withoutRuntimeVariables(env), ...(existsSync(own) ? { [STAGE1_ENV.runtime]: own } : {}) };
}
