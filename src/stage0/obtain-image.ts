/**
 * Steps 1 to 3 in a row: a name becomes a verified image in the store. What is in the store already, and verified, costs no worker and no network.
 */

import { loadConfig } from "../config/mod.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { Download, ImageReference, StoredImage } from "../core/spine.ts";
import { redactUrl } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { findImage, initDataDir, touchImage } from "../store/mod.ts";

export type PullPolicy = "new" | "never" | "update";

export interface ObtainOptions {
  readonly pullPolicy: PullPolicy;
  /** `--signature`: a path or URL. */
  readonly signature: string | undefined;
}

/**
 * The image that `reference` names. Throws NOT_FOUND, NOT_TRUSTED, DIGEST_MISMATCH, NETWORK and what the steps throw. Files are always imported again, names
 * and URLs by the pull policy (rkt 1.x, "Image fetching").
 */
export async function obtainImage(
  engine: Engine,
  reference: ImageReference,
  options: ObtainOptions,
): Promise<StoredImage> {
  initDataDir(engine.dataDir, linux);
  if (reference.kind === "hash") return storedByHash(engine, reference);
  const isFile = ["aci-file", "oci-layout", "oci-archive", "docker-archive"].includes(reference.kind);
  if (!isFile && options.pullPolicy !== "update") {
    const stored = findTrusted(engine, reference);
    if (stored !== undefined) return stored;
    if (options.pullPolicy === "never") throw notInStore(reference);
  }
  return fetchVerifyStore(engine, reference, options);
}

const TAIL =
  "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled";

function notInStore(reference: ImageReference): RktError {
  const what =
    reference.kind === "docker"
      ? `docker image from URL "docker://${reference.text.replace(/^docker:(\/\/)?/, "")}"`
      : reference.kind === "aci-url"
        ? `image from URL "${redactUrl(reference.url)}"`
        : `image from image name "${nameOf(reference)}"`;
  return new RktError("NOT_FOUND", `unable to fetch ${what}: ${TAIL}`);
}

/** The text of a reference for messages and for the record of what an image was fetched as. */
export function nameOf(reference: ImageReference): string {
  switch (reference.kind) {
    case "hash":
    case "docker":
      return reference.text;
    case "appc":
      return (
        reference.name +
        reference.labels.map(({ name, value }) => (name === "version" ? `:${value}` : `,${name}=${value}`)).join("")
      );
    case "aci-url":
      return reference.url;
    default:
      return reference.path;
  }
}

function storedByHash(engine: Engine, reference: ImageReference): StoredImage {
  const stored = findTrusted(engine, reference);
  if (stored !== undefined) return stored;
  throw new RktError("NOT_FOUND", `no image IDs found for "${nameOf(reference)}"`);
}

/** An image of the store that may be used: for root, one whose verification root recorded itself (or the operator waives). */
function findTrusted(engine: Engine, reference: ImageReference): StoredImage | undefined {
  const stored = findImage(engine.dataDir, reference);
  if (stored === undefined) return undefined;
  engine.emit({ kind: "debug", source: "image", text: usingFromStore(reference) });
  touchImage(engine.dataDir, stored);
  return stored;
}

function usingFromStore(reference: ImageReference): string {
  if (reference.kind === "hash") return `using image from the store with hash ${reference.text}`;
  if (reference.kind === "aci-url" || reference.kind === "docker")
    return `using image from local store for url ${nameOf(reference)}`;
  return `using image from local store for image name ${nameOf(reference)}`;
}

/** Loaded only here: a run from the store must not pay for the code that fetches. */
async function fetchVerifyStore(
  engine: Engine,
  reference: ImageReference,
  options: ObtainOptions,
): Promise<StoredImage> {
  const [{ fetchImage }, { verifyDownload }, { putImage }] = await Promise.all([
    import("../fetch/mod.ts"),
    import("../trust/mod.ts"),
    import("../store/mod.ts"),
  ]);
  const config = loadConfig(engine);
  const download: Download = await fetchImage(reference, {
    dataDir: engine.dataDir,
    insecure: engine.insecure,
    config,
    signature: options.signature,
    emit: engine.emit,
  });
  const verified = await verifyDownload(download, {
    dataDir: engine.dataDir,
    systemConfigDir: engine.systemConfigDir,
    localConfigDir: engine.localConfigDir,
    insecure: engine.insecure,
    emit: engine.emit,
    host: linux,
  });
  return putImage(engine.dataDir, verified, [nameOf(reference)]);
}
