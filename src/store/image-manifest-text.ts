/** An image's manifest in the appc vocabulary: what `image cat-manifest` prints and a pod is made of. */

import { dirname } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { imageIdFromSha512 } from "../core/digest.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { OciSource, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { readFileBeneath } from "../host/beneath.ts";
import { formatImageManifest } from "../spec/appc/image-manifest.ts";
import { parseConfig } from "../spec/oci/config.ts";
import { ociToAppc } from "../spec/oci-to-appc.ts";
import { readBlob } from "./blobs.ts";
import { openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";

/**
 * JSON text of the manifest. ACI: the bytes in the archive, from the unpacker where the image was rendered (the caller believes that), else as the fetch found them.
 * OCI: the conversion that rkt would have made of the configuration, whose digest is checked here.
 * Throws NOT_FOUND when a file is missing, DIGEST_MISMATCH, INVALID_INPUT when a document is not what it should be.
 */
export function imageManifestText(dataDir: DataDir, image: StoredImage, options: StoreOptions = {}): string {
  const store = openStore(dataDir, options);
  return image.format === "aci" ? aciManifest(store, image) : formatImageManifest(convert(store, image));
}

function aciManifest(store: Store, image: StoredImage): string {
  const { dataDir, host } = store;
  const rendered = store.believes ? `${dataDir.layer(image.id)}/manifest` : undefined;
  for (const path of [rendered, dataDir.imageManifest(image.id)]) {
    const bytes = path && readFileBeneath(host, dirname(path), path.slice(dirname(path).length + 1), RECORD_LIMIT);
    if (bytes !== undefined && bytes !== "") return bytes.toString("utf8");
  }
  throw new RktError("NOT_FOUND", `Cannot read the manifest of image ${image.id}: it is not in the store`, {
    hint: "fetch the image again",
  });
}

function convert(store: Store, image: StoredImage): ReturnType<typeof ociToAppc> {
  const { manifest, config } = image;
  if (manifest === undefined || config === undefined) throw internalError(`OCI image ${image.id} without manifest`);
  refuseOtherId(store, image, readBlob(store.dataDir, manifest, store));
  return ociToAppc({
    ...(image.source ?? sourceOf(image)),
    config: parseConfig(readBlob(store.dataDir, config, store).toString("utf8")),
    manifestDigest: manifest.digest,
    configDigest: config.digest,
    origin: image.origin,
  });
}

/** The record may say of any manifest that it is this image. */
function refuseOtherId({ dataDir }: Store, image: StoredImage, manifest: Buffer): void {
  const id = imageIdFromSha512(new Bun.CryptoHasher("sha512").update(manifest).digest("hex"));
  if (id === image.id) return;
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot use image record ${quoted(dataDir.imageRecord(image.id))}: its manifest is that of ${id}`,
  );
}

/** For records without a source: the name is REGISTRY/REPOSITORY. */
function sourceOf(image: StoredImage): OciSource {
  const reference = image.labels.find(({ name }) => name === "version")?.value ?? "";
  const slash = image.name.indexOf("/");
  if (!image.origin.startsWith("docker:") || slash < 0)
    return { registry: undefined, repository: image.name, reference };
  return { registry: image.name.slice(0, slash), repository: image.name.slice(slash + 1), reference };
}
