/** Step 4: a stored image becomes an ordered list of lower directories. */

import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { RenderedTree } from "../core/spine.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { type Host, linux } from "../host/mod.ts";
import { startWorker } from "../host/worker.ts";
import { JAIL_LAUNCHER } from "./jail.ts";
import { layerIds, type RenderableImage } from "./layer-id.ts";
import {
  discardLayer,
  finishLayer,
  isRendered,
  layerManifest,
  lockLayer,
  type NewLayer,
  prepareStore,
  startLayer,
} from "./layer-store.ts";
import { makeDevices } from "./make-devices.ts";
import { recordTree } from "./trees.ts";
import type { Unpacked } from "./unpack/unpack.ts";
import { decodeAnswer, encodeRequest, type Jail, type UnpackRequest } from "./unpack-protocol.ts";

export interface RenderRequest {
  readonly dataDir: DataDir;
  readonly host?: Host;
  readonly emit: Emit;
  readonly image: RenderableImage;
  /** OCI: the image's manifest in the appc vocabulary. An ACI brings its own. */
  readonly ociManifestText?: string;
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
  const plans = planLayers(dataDir, image);
  prepareStore(dataDir);
  const releaseStore = await holdPrepareLock(host, dataDir);
  try {
    for (const plan of plans) {
      if (isRendered(dataDir, plan.layerId)) continue;
      const release = await lockLayer(host, dataDir, plan.layerId);
      try {
        if (!isRendered(dataDir, plan.layerId)) await renderLayer(host, dataDir, emit, plan);
      } finally {
        release();
      }
    }
    const ids = plans.map(({ layerId }) => layerId).reverse();
    return recordTree(dataDir, image.id, ids, manifestText(request, ids));
  } finally {
    releaseStore();
  }
}

function manifestText(request: RenderRequest, layers: readonly string[]): string {
  if (request.image.format === "oci") {
    if (request.ociManifestText === undefined)
      throw internalError("an OCI image is rendered without its converted manifest");
    return request.ociManifestText;
  }
  const [top] = layers;
  if (top === undefined)
    throw new RktError("INVALID_INPUT", `Cannot render image ${request.image.id}: it has no archive`);
  return layerManifest(request.dataDir, top);
}

function planLayers(dataDir: DataDir, image: RenderableImage): LayerPlan[] {
  const ids = layerIds(image);
  return image.layers.slice(0, ids.length).map((layer, index) => ({
    layerId: ids[index] ?? "",
    blob: dataDir.blob(layer.digest),
    below: ids.slice(0, index).reverse(),
    request: {
      format: image.format,
      lowers: index,
      blob: {
        digest: layer.digest,
        size: layer.size,
        diffId: image.format === "oci" ? layer.diffId : undefined,
        imageId: image.format === "aci" ? image.id : undefined,
      },
    },
  }));
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

/** Fills one layer and makes it permanent. Under its lock. */
async function renderLayer(host: Host, dataDir: DataDir, emit: Emit, plan: LayerPlan): Promise<void> {
  const started = performance.now();
  const layer = startLayer(host, dataDir, plan.layerId);
  try {
    const unpacked = await unpackConfined(dataDir, layer, plan);
    makeDevices(host, layer.rootfs, unpacked.devices);
    finishLayer(host, dataDir, layer, { size: unpacked.size }, unpacked.manifest);
    const time = `${Math.round(performance.now() - started)} ms`;
    emit({ kind: "debug", source: "image", text: `layer ${plan.layerId}: ${unpacked.entries} entries in ${time}` });
  } catch (error) {
    discardLayer(host, dataDir, plan.layerId);
    throw error;
  }
}

/** Runs the unpacker to its end: when this returns (or throws), its process is gone. */
async function unpackConfined(dataDir: DataDir, layer: NewLayer, plan: LayerPlan): Promise<Unpacked> {
  const jail: Jail = {
    root: layer.jail,
    blob: plan.blob,
    target: layer.rootfs,
    lowers: plan.below.map((id) => join(dataDir.layer(id), "rootfs")),
  };
  const worker = startWorker({
    worker: "unpack",
    account: undefined,
    launcher: JAIL_LAUNCHER,
    descriptors: [],
    request: jail,
  });
  let unpacked: Unpacked | undefined;
  let failure: unknown;
  try {
    for await (const message of worker.messages()) {
      const answer = decodeAnswer(message);
      if (answer.kind === "ready") worker.send(encodeRequest(plan.request));
      else unpacked = answer.unpacked;
    }
  } catch (error) {
    failure = error;
    worker.kill();
    await worker.ended();
  }
  if (failure !== undefined) throw failure;
  if (unpacked === undefined)
    throw new RktError("HOST_PROGRAM", "Cannot unpack: the unpack worker ended without an answer");
  return unpacked;
}
