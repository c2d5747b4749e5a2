/** Step 4: a stored image becomes an ordered list of lower directories. */

import { closeSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { DataDir } from "../core/data-dir.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { RenderedTree } from "../core/spine.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { type Host, linux } from "../host/mod.ts";
import { type FlatImage, filteredLayerId, flattenDependencies, type ResolveDependency } from "./dependencies.ts";
import { layerIds, type RenderableImage } from "./layer-id.ts";
import {
  discardLayer,
  isRendered,
  keepManifest,
  type LayerMark,
  layerManifest,
  lockLayer,
  markLayers,
  type NewLayer,
  prepareStore,
  startLayer,
} from "./layer-store.ts";
import { makeDevices } from "./make-devices.ts";
import { recordTree } from "./trees.ts";
import type { Unpacked } from "./unpack/unpack.ts";
import type { UnpackRequest } from "./unpack-protocol.ts";
import { startUnpacker, type Unpacker } from "./unpacker.ts";

export interface RenderRequest {
  readonly dataDir: DataDir;
  readonly host?: Host;
  readonly emit: Emit;
  readonly image: RenderableImage;
  /** OCI: the image's manifest in the appc vocabulary. An ACI brings its own. */
  readonly ociManifestText?: string;
  /** ACI: finds an image that this one depends on. Without it, an image with dependencies is refused. */
  readonly resolveDependency?: ResolveDependency;
}

interface LayerPlan {
  readonly layerId: string;
  readonly request: UnpackRequest;
  readonly blob: string;
  /** Layers below, topmost first. */
  readonly below: readonly string[];
}

/**
 * Renders the layers of `image` that are missing, lowest first, and records the tree. Renders of the same layers at the same time share the work: one fills a
 * layer, the others wait for its lock. Holds the prepare lock, shared, so that nothing is collected in between; the caller may hold it too, shared.
 *
 * Throws PERMISSION for anyone but root; UNSUPPORTED for too many layers; DIGEST_MISMATCH, MALICIOUS or INVALID_INPUT for a bad archive, of which
 * nothing is left behind.
 */
export async function renderImage(request: RenderRequest): Promise<RenderedTree> {
  const { dataDir, emit, image, host = linux } = request;
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", `Cannot render image ${image.id}: permission denied`, {
      hint: "rendering needs root: files get the owners that the image gives them",
    });
  }
  prepareStore(dataDir);
  const releaseStore = await holdPrepareLock(host, dataDir);
  try {
    const { layers, manifest } =
      image.format === "oci"
        ? await renderOci({ host, dataDir, emit }, image, request.ociManifestText)
        : await renderAci({ host, dataDir, emit }, image, request.resolveDependency);
    return recordTree(dataDir, image.id, layers, manifest);
  } finally {
    releaseStore();
  }
}

interface Context {
  readonly host: Host;
  readonly dataDir: DataDir;
  readonly emit: Emit;
}

/** Layers are given topmost first. */
interface Rendered {
  readonly layers: readonly string[];
  readonly manifest: string;
}

async function renderOci(context: Context, image: RenderableImage, manifest: string | undefined): Promise<Rendered> {
  if (manifest === undefined) throw internalError("an OCI image is rendered without its converted manifest");
  const ids = layerIds(image);
  const plans = image.layers.map((layer, index) => ({
    layerId: ids[index] ?? "",
    blob: context.dataDir.blob(layer.digest),
    below: ids.slice(0, index).reverse(),
    request: {
      format: "oci" as const,
      lowers: index,
      blob: { digest: layer.digest, size: layer.size, diffId: layer.diffId, imageId: undefined },
    },
  }));
  await renderLayers(context, plans);
  return { layers: ids.toReversed(), manifest };
}

/** An ACI and what it depends on: each is a layer of its own, whole or as far as path whitelists let it through. */
async function renderAci(
  context: Context,
  image: RenderableImage,
  resolveDependency: ResolveDependency | undefined,
): Promise<Rendered> {
  const whole = async (one: RenderableImage): Promise<string> => {
    await renderLayers(context, [aciPlan(context.dataDir, { image: one, filter: undefined })]);
    return layerManifest(context.dataDir, one.id);
  };
  const flat = await flattenDependencies(image, whole, resolveDependency);
  const plans = flat.map((one) => aciPlan(context.dataDir, one));
  // One by one: the rule that keeps two renders from waiting for each other is about the layers of one OCI image.
  for (const plan of plans) await renderLayers(context, [plan]);
  // Twice the same layer adds nothing, and overlayfs refuses it.
  return {
    layers: [...new Set(plans.map(({ layerId }) => layerId))],
    manifest: layerManifest(context.dataDir, image.id),
  };
}

function aciPlan(dataDir: DataDir, { image, filter }: FlatImage): LayerPlan {
  const [archive] = image.layers;
  if (archive === undefined) throw new RktError("INVALID_INPUT", `Cannot render image ${image.id}: it has no archive`);
  return {
    layerId: filteredLayerId({ image, filter }),
    blob: dataDir.blob(archive.digest),
    below: [],
    request: {
      format: "aci",
      filter,
      lowers: 0,
      blob: { digest: archive.digest, size: archive.size, diffId: undefined, imageId: image.id },
    },
  };
}

async function holdPrepareLock(host: Host, dataDir: DataDir): Promise<() => void> {
  const fd = openSync(dataDir.prepareLock, "a", 0o640);
  try {
    await lockWithBackoff(host, fd, "shared", { what: "the rendered trees" });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return () => closeSync(fd);
}

/** A layer whose unpacker is started, under its lock. */
interface Started {
  readonly plan: LayerPlan;
  readonly layer: NewLayer;
  readonly unpacker: Unpacker;
  readonly release: () => void;
  /** Tells the unpacker that all layers below are filled. */
  readonly belowFilled: () => void;
  /** Gives the unpacker its work, at the first call. */
  readonly unpack: () => Promise<Unpacked>;
}

/** How many unpackers are started before their turn: starting one takes as long as unpacking a small layer. */
const AHEAD = 2;

/** How many layers are unpacked side by side; each takes a processor, and some tens of megabytes of memory. */
const AT_ONCE = Math.min(availableParallelism(), 1 + AHEAD);

/**
 * Fills the layers that are missing and makes them permanent together: one wait for the disk is shorter than many. Several are unpacked at a time; one that has to look at the layers below waits until they
 * are filled.
 */
async function renderLayers({ host, dataDir, emit }: Context, plans: readonly LayerPlan[]): Promise<void> {
  const started: Started[] = [];
  const filled: (Started & { mark: LayerMark })[] = [];
  const writing: Promise<void>[] = [];
  let next = 0;
  try {
    for (;;) {
      while (next < plans.length && started.length <= AHEAD) {
        const plan = plans[next];
        if (plan !== undefined && !isRendered(dataDir, plan.layerId)) {
          // Only the layer whose turn it is may be waited for: it is the lowest one that is missing.
          const begun = await startRender(host, dataDir, plan, started.length === 0 && filled.length === 0);
          if (begun === "busy") break;
          if (begun !== "rendered") started.push(begun);
        }
        next += 1;
      }
      const current = started[0];
      if (current === undefined) {
        if (next >= plans.length) break;
        // Another render holds the next layer, and may be waiting for one of ours: ours are finished first.
        await finish(host, dataDir, filled);
        continue;
      }
      current.belowFilled();
      for (const one of started.slice(0, AT_ONCE)) one.unpack().catch(() => {});
      const { size, digest } = await fillLayer(host, emit, current);
      started.shift();
      filled.push({ ...current, mark: { size, digest } });
      if (plans.length > 1) writing.push(startWriting(dataDir.layers));
    }
    await finish(host, dataDir, filled);
  } finally {
    await Promise.all(writing);
    // Empty unless something failed.
    for (const { plan, unpacker, release } of [...started, ...filled]) {
      await unpacker.stop();
      discardLayer(host, dataDir, plan.layerId);
      release();
    }
  }
}

/**
 * Lets the disk begin with what has been filled so far, while the next layer is unpacked: {@link finish} then has less to wait for. Nothing depends on it. Resolves when the
 * process that waits for the disk has ended, so that a pod does not inherit it as a child.
 */
async function startWriting(directory: string): Promise<void> {
  const { spawn } = await import("node:child_process");
  const child = spawn("sync", ["--file-system", directory], { stdio: "ignore" });
  await new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
}

async function finish(host: Host, dataDir: DataDir, filled: (Started & { mark: LayerMark })[]): Promise<void> {
  // A layer is called whole when nobody can change it any more.
  for (const { unpacker } of filled) await unpacker.stop();
  markLayers(host, dataDir, filled);
  for (const { release } of filled.splice(0)) release();
}

async function startRender(
  host: Host,
  dataDir: DataDir,
  plan: LayerPlan,
  wait: boolean,
): Promise<Started | "busy" | "rendered"> {
  const release = await lockLayer(host, dataDir, plan.layerId, wait);
  if (release === undefined) return "busy";
  try {
    if (isRendered(dataDir, plan.layerId)) {
      release();
      return "rendered";
    }
    const layer = startLayer(host, dataDir, plan.layerId);
    const lowers = plan.below.map((id) => dataDir.layerRootfs(id));
    const unpacker = startUnpacker({ root: layer.jail, blob: plan.blob, target: layer.rootfs, lowers });
    const { promise, resolve: belowFilled } = Promise.withResolvers<void>();
    let unpacked: Promise<Unpacked> | undefined;
    const unpack = () => {
      unpacked ??= unpacker.unpack(plan.request, promise);
      return unpacked;
    };
    return { plan, layer, release, unpacker, belowFilled, unpack };
  } catch (error) {
    release();
    throw error;
  }
}

/** Waits for one layer to be filled; all layers below it are. The result says what is in it. */
async function fillLayer(host: Host, emit: Emit, { plan, layer, unpacker, unpack }: Started): Promise<Unpacked> {
  const begun = performance.now();
  const unpacked = await unpack();
  if (unpacked.devices.length > 0) {
    // Root works in this directory only when nobody else does.
    await unpacker.stop();
    makeDevices(host, layer.rootfs, unpacked.devices);
  }
  keepManifest(layer, unpacked.manifest);
  const time = `${Math.round(performance.now() - begun)} ms`;
  emit({ kind: "debug", source: "image", text: `layer ${plan.layerId}: ${unpacked.entries} entries in ${time}` });
  return unpacked;
}
