/** Steps 1 to 5 of `rkt run` and `rkt prepare`: everything that is needed for a pod, then the pod's directory. */

import { closeSync } from "node:fs";
import type { Engine } from "../core/engine.ts";
import { aboutSubject, RktError } from "../core/errors.ts";
import type { ImageReference, PreparedPod, RenderedTree } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { resolvePorts } from "../network/ports.ts";
import { createPod, takeIdRange } from "../pod/mod.ts";
import { takePrepareLock } from "../pod/prepare-lock.ts";
import {
  assertRunnable,
  type ImageManifest,
  type PodManifest,
  parseImageManifest,
  parsePodManifest,
  type RuntimeApp,
} from "../spec/appc/mod.ts";
import {
  FLAVORS,
  flavorNamed,
  flavorOfImageName,
  type IsolationName,
  STAGE1_ANNOTATION,
  stage1ImageName,
} from "../stage1-contract/mod.ts";
import { abandonPod } from "./abandon-pod.ts";
import type { AppOptions } from "./app-options.ts";
import { requireIsolation } from "./check-isolation.ts";
import { checkVolumeSources } from "./check-volumes.ts";
import { obtainImage, type PullPolicy } from "./obtain-image.ts";
import { buildPodManifest, checkMounts, type PodOptions, type RequestedApp } from "./pod-manifest.ts";
import { preparePod } from "./prepare.ts";
import { renderStored } from "./render-stored.ts";
import { obtainStage1, type Stage1, type Stage1Choice } from "./stage1-image.ts";

export interface RequestedImage {
  readonly reference: ImageReference;
  readonly signature: string | undefined;
  readonly options: AppOptions;
}

export type PodContent =
  | { readonly kind: "images"; readonly images: readonly RequestedImage[]; readonly pod: PodOptions }
  /** A pod without apps yet, to which they are added while it runs. */
  | { readonly kind: "sandbox"; readonly manifest: PodManifest }
  /** Text of a `--pod-manifest` file. */
  | { readonly kind: "manifest"; readonly path: string; readonly text: string };

export interface AssembleInput {
  readonly content: PodContent;
  readonly stage1: Stage1Choice;
  readonly pullPolicy: PullPolicy;
  readonly noOverlay: boolean;
  /** The pod gets a user namespace. */
  readonly privateUsers: boolean;
  readonly podName?: string | undefined;
  /** The pod is started at once, so what that needs is looked at before the pod is made. */
  readonly starts?: {
    readonly interactive: boolean;
    readonly net: string;
    readonly ipc: string;
    /** `--require`. */
    readonly require: readonly IsolationName[];
  };
  /** Called as soon as the pod has a UUID, before anything is prepared (`--uuid-file-save`). */
  readonly onUuid?: (uuid: string) => void;
}

export interface AssembledPod {
  readonly pod: PreparedPod;
  readonly manifest: PodManifest;
  readonly stage1: Stage1;
}

/** Gives a pod under pods/prepare, whole, locked by this process. On failure nothing of the pod is left. */
export async function assemblePod(engine: Engine, input: AssembleInput): Promise<AssembledPod> {
  // Loaded images are fetched before the pod exists: most failures then leave nothing behind.
  const requested = await obtainAll(engine, input);
  // Beside the unpacking: the first pod of a host imports its stage1 image.
  const obtainedStage1 = obtainStage1(engine, annotatedStage1(input), input.pullPolicy);
  obtainedStage1.catch(() => {});
  if (input.content.kind === "sandbox") requireCrossing(await obtainedStage1);
  // Shared while trees are chosen and named in the pod's directory; the collector of rendered trees takes it exclusively.
  const lock = await takePrepareLock(engine.dataDir, linux, "shared");
  try {
    const { manifest, trees } = await renderAll(engine, input, requested);
    const stage1 = await obtainedStage1;
    resolvePorts(manifest);
    if (input.starts !== undefined) {
      checkStart(manifest, input.starts);
      const { privateUsers } = input;
      requireIsolation(input.starts.require, {
        ...{ stage1: stage1.manifest, manifest, privateUsers, engine },
        ...{ net: input.starts.net, ipc: input.starts.ipc },
      });
    }
    const pod = createPod(engine.dataDir, linux);
    try {
      if (input.podName !== undefined) await namePod(engine, pod, input.podName);
      input.onUuid?.(pod.uuid);
      const ids = input.privateUsers ? await takeIdRange(engine.dataDir, linux, pod.dir) : undefined;
      await preparePod(engine, pod, { manifest, trees, stage1, noOverlay: input.noOverlay, ids });
    } catch (error) {
      await abandonPod(engine, pod);
      throw error;
    }
    return { pod, manifest, stage1 };
  } finally {
    closeSync(lock);
  }
}

/** Throws UNSUPPORTED for a stage1 whose pods stay as they were started (rkt 1.x looked at the same three). */
function requireCrossing({ manifest }: Stage1): void {
  const has = (name: string) => manifest.annotations.some((annotation) => annotation.name === name);
  const { appRm, appStart, appStop } = STAGE1_ANNOTATION;
  if ([appRm, appStart, appStop].every(has)) return;
  throw new RktError(
    "UNSUPPORTED",
    `Cannot start a pod for apps to be added: stage1 ${quoted(manifest.name)} does not support it`,
    {
      hint: "use the default stage1",
    },
  );
}

/** The pod's annotation `isolation` names a flavor. Throws USAGE for an unknown one, and for a `--stage1-…` that says something else: neither may quietly win. */
function annotatedStage1({ content, stage1 }: AssembleInput): Stage1Choice {
  const word = annotationsOf(content).find(({ name }) => name === ISOLATION_ANNOTATION)?.value;
  if (word === undefined) return stage1;
  const flavor = flavorNamed(word);
  if (flavor === undefined)
    throw new RktError(
      "USAGE",
      `Cannot use ${quoted(word)} as the pod's annotation "${ISOLATION_ANNOTATION}": expected ${FLAVORS.join(", ")}`,
    );
  if (stage1.kind === "default") return { kind: "name", value: stage1ImageName(flavor) };
  if (stage1.kind === "name" && flavorOfImageName(stage1.value) === flavor) return stage1;
  throw new RktError(
    "USAGE",
    `Cannot use --stage1-${stage1.kind}: the pod's annotation "${ISOLATION_ANNOTATION}" asks for ${quoted(word)}`,
  );
}

function annotationsOf(content: PodContent): PodManifest["annotations"] {
  if (content.kind === "images") return content.pod.annotations;
  return content.kind === "sandbox"
    ? content.manifest.annotations
    : readPodManifest(content.path, content.text).annotations;
}

/** Which flavor of stage1 runs the pod: the same image, command line and status for all. */
const ISOLATION_ANNOTATION = "isolation";

async function namePod(engine: Engine, pod: PreparedPod, name: string): Promise<void> {
  const { claimPodName, endLostNamesake, podReader } = await import("../pod/mod.ts");
  await endLostNamesake(podReader(engine.dataDir, linux), name);
  claimPodName(podReader(engine.dataDir, linux), pod, name);
}

function readPodManifest(path: string, text: string): PodManifest {
  try {
    const manifest = parsePodManifest(text);
    if (manifest.apps.length > 0) return manifest;
    throw new RktError("INVALID_INPUT", "pod must contain at least one application");
  } catch (error) {
    throw aboutSubject(error, path, `Cannot use the file ${quoted(path)}`);
  }
}

function checkStart(manifest: PodManifest, { interactive }: { readonly interactive: boolean }): void {
  if (interactive && manifest.apps.length > 1)
    throw new RktError("USAGE", "interactive option only supports one image");
  checkVolumeSources(manifest);
}

/** An app that the manifest leaves out is the image's own (appc spec/pods.md, "app"). Throws USAGE when there is none either. */
function withImageApp(app: RuntimeApp, image: ImageManifest): RuntimeApp {
  if (app.app !== undefined) return app;
  if (image.app === undefined) throw new RktError("USAGE", `error: image ${app.image.id} has no app section`);
  return { ...app, app: image.app };
}

interface ObtainedApp {
  readonly imageId: string;
  readonly tree: RenderedTree;
  readonly options: AppOptions;
}

async function obtainAll(engine: Engine, input: AssembleInput): Promise<ObtainedApp[]> {
  if (input.content.kind !== "images") return [];
  const apps: ObtainedApp[] = [];
  for (const { reference, signature, options } of input.content.images) {
    const stored = await obtainImage(engine, reference, {
      pullPolicy: input.pullPolicy,
      signature,
      unpackedNext: true,
    });
    apps.push({ imageId: stored.id, tree: await renderStored(engine, stored, missingFrom(input.pullPolicy)), options });
  }
  return apps;
}

/** Dependencies were updated with their image: what is still missing then is fetched where anything may be. */
function missingFrom(pullPolicy: PullPolicy): PullPolicy {
  return pullPolicy === "never" ? "never" : "new";
}

async function renderAll(
  engine: Engine,
  input: AssembleInput,
  obtained: readonly ObtainedApp[],
): Promise<{ manifest: PodManifest; trees: Map<string, RenderedTree> }> {
  const trees = new Map<string, RenderedTree>();
  if (input.content.kind === "sandbox") return { manifest: input.content.manifest, trees };
  if (input.content.kind === "manifest") {
    const { path, text } = input.content;
    const manifest = readPodManifest(path, text);
    const apps: RuntimeApp[] = [];
    for (const app of manifest.apps) {
      const reference = { kind: "hash", text: app.image.id } as const;
      const stored = await obtainImage(engine, reference, { pullPolicy: "never", signature: undefined });
      const tree = await renderStored(engine, stored);
      const image = parseImageManifest(tree.manifest);
      assertRunnable(image.labels);
      trees.set(app.name, tree);
      apps.push(withImageApp(app, image));
    }
    checkMounts(apps, manifest.volumes);
    return { manifest: { ...manifest, apps }, trees };
  }
  const requested: RequestedApp[] = obtained.map(({ imageId, tree, options }) => {
    const imageManifest = parseImageManifest(tree.manifest);
    assertRunnable(imageManifest.labels);
    return { imageId, imageManifest, options };
  });
  const manifest = buildPodManifest(requested, input.content.pod);
  manifest.apps.forEach((app, index) => {
    const tree = obtained[index]?.tree;
    if (tree !== undefined) trees.set(app.name, tree);
  });
  return { manifest, trees };
}
