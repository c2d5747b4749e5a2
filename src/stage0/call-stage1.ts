/** Calling a stage1's entrypoints that end: gc, stop, enter, attach, app/* (docs/stage1-contract.md). `run` is in run.ts: it does not end. */

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
import { type Flavor, STAGE1_ANNOTATION, STAGE1_ENV } from "../stage1-contract/mod.ts";
import { builtinFlavor, loadEntrypoints } from "./builtin-stage1.ts";
import { isRkt1Pod, rkt1Rootfs } from "./rkt-1-pod.ts";

export type CrossingEntrypoint = "attach" | "appAdd" | "appRm" | "appStart" | "appStop";
export type EndingEntrypoint = "gc" | "stop" | "enter" | CrossingEntrypoint;

/** The words of an entrypoint, for errors. */
const DOING: Readonly<Record<"run" | EndingEntrypoint, string>> = {
  ...{ run: "run the pod", gc: "gc the pod", stop: "stop the pod", enter: "enter the pod", attach: "attach to an app" },
  ...{ appAdd: "add an app", appRm: "remove an app", appStart: "start an app", appStop: "stop an app" },
};

/**
 * Runs an entrypoint of the pod's stage1 and returns its exit status. Code comes from the rendered tree, which only root writes, never from the pod's own
 * copy: a pod's root could have changed that, and it runs on the host as root. Throws STAGE1 when the pod or its stage1 lacks the entrypoint.
 */
export async function callStage1(
  engine: Engine,
  podDir: string,
  entrypoint: EndingEntrypoint,
  argv: readonly string[],
  extraEnv: Readonly<Record<string, string>> = {},
): Promise<number> {
  return (await loadCall(engine, podDir, entrypoint))(argv, podDir, extraEnv);
}

/** Calls the entrypoint at once; `dir` is the pod's directory as the caller's mount namespace has it. */
export type Stage1Call = (
  argv: readonly string[],
  dir: string,
  extraEnv: Readonly<Record<string, string>>,
) => Promise<number>;

/** {@link callStage1} in two steps: after this one nothing is loaded any more, so that the caller may change its namespaces in between. */
export async function loadCall(engine: Engine, podDir: string, entrypoint: EndingEntrypoint): Promise<Stage1Call> {
  const { rootfs, manifest, flavor } = podStage1(engine, podDir);
  const cwdFor = (dir: string) => (entrypoint === "enter" ? rootfs : dir);
  if (flavor !== undefined) {
    const call = (await loadEntrypoints(flavor))[entrypoint];
    if (call === undefined) throw lacking(manifest, entrypoint);
    return (argv, dir, extraEnv) =>
      call(argv, { host: linux, emit: engine.emit, env: { ...process.env, ...extraEnv }, podDir: cwdFor(dir) });
  }
  const path = join(rootfs, entrypointPath(manifest, entrypoint));
  const { spawnSync } = await import("node:child_process");
  return async (argv, dir, extraEnv) => {
    const env = { ...stage1Environment(), ...extraEnv };
    const result = spawnSync(path, [...argv], { cwd: cwdFor(dir), env, stdio: "inherit" });
    if (result.error !== undefined)
      throw new RktError("STAGE1", `Cannot run the stage1 entrypoint ${quoted(path)}`, { cause: result.error });
    return result.status ?? 254;
  };
}

/** The layers of one image of a pod, as its directory names them. */
export interface PodLayers {
  readonly treeId: string;
  /** Topmost first. */
  readonly layers: RenderedTree["layers"];
}

/** The layers that a file of the pod's directory (`stage1TreeStoreID`, an app's `treeStoreID`) names. Throws NOT_FOUND when they are gone. */
export function podLayers(engine: Engine, treeIdFile: string): PodLayers {
  const treeId = treeIdIn(treeIdFile);
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

export function treeIdIn(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot tell what the pod was made of: ${quoted(file)} cannot be read`, { cause });
  }
}

/** What a pod's stage1 is called by. */
export interface PodStage1 {
  /** Its files, in a tree that only root writes. */
  readonly rootfs: string;
  /** JSON. */
  readonly manifest: string;
  /** Set when its code is in this executable. */
  readonly flavor: Flavor | undefined;
}

/** The stage1 of a pod, also of one that rkt 1.x prepared: then it is the one that it was started with, and speaks the same contract. Throws what {@link stage1Tree} throws. */
export function podStage1(engine: Engine, podDir: string): PodStage1 {
  const files = new PodFiles(podDir);
  if (isRkt1Pod(engine.dataDir, podDir)) {
    const rootfs = rkt1Rootfs(engine.dataDir, files.stage1TreeId);
    return { rootfs, manifest: readFileSync(files.stage1Manifest, "utf8"), flavor: undefined };
  }
  const tree = stage1Tree(engine, podDir);
  return { rootfs: treeRootfs(engine, tree), manifest: tree.manifest, flavor: builtinFlavor(tree.image) };
}

/** The rendered stage1 of a pod. Throws NOT_FOUND for a pod whose tree is gone, UNSUPPORTED for a stage1 of several layers, and for a pod of rkt 1.x. */
export function stage1Tree(engine: Engine, podDir: string): RenderedTree {
  const files = new PodFiles(podDir);
  if (isRkt1Pod(engine.dataDir, podDir)) {
    throw new RktError("UNSUPPORTED", `Cannot use the pod in ${quoted(podDir)}: rkt 1.x has prepared it`, {
      hint: "prepare it again",
    });
  }
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

/** `manifest`: the stage1 image's, JSON. Throws STAGE1 when it does not name the entrypoint. */
export function entrypointPath(manifest: string, entrypoint: "run" | EndingEntrypoint): string {
  const { annotations } = parseImageManifest(manifest);
  const path = annotations.find((pair) => pair.name === STAGE1_ANNOTATION[entrypoint])?.value;
  if (path === undefined) throw lacking(manifest, entrypoint);
  return path;
}

function lacking(manifest: string, entrypoint: "run" | EndingEntrypoint): RktError {
  const { name } = parseImageManifest(manifest);
  return new RktError(
    "STAGE1",
    `Cannot ${DOING[entrypoint]}: stage1 ${quoted(name)} has no annotation ${quoted(STAGE1_ANNOTATION[entrypoint])}`,
  );
}

/** What a crossing entrypoint finds its way into the pod by: the stage1's own enter, and the pod's first process. */
export function crossingEnvironment(engine: Engine, podDir: string, pid: number): Record<string, string> {
  const { rootfs, manifest } = podStage1(engine, podDir);
  return {
    [STAGE1_ENV.enterCommand]: join(rootfs, entrypointPath(manifest, "enter")),
    [STAGE1_ENV.enterPid]: String(pid),
    PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
  };
}

/** The caller's environment, and where a stage1 of this project finds a runtime for its code. */
export function stage1Environment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) env[name] = value;
  const own = process.execPath;
  return { ...withoutRuntimeVariables(env), ...(existsSync(own) ? { [STAGE1_ENV.runtime]: own } : {}) };
}
