/** The way back from step 3 to step 1: an image of the store as a download, so that root can verify what only an unprivileged fetch has seen. */

import type { DataDir } from "../core/data-dir.ts";
import { internalError } from "../core/errors.ts";
import type { Download, LayerRef, SignatureSet, StoredImage } from "../core/spine.ts";
import { readFileBeneath } from "../host/beneath.ts";
import { readDocument } from "../spec/document.ts";
import { decodeSignatureSet } from "../spec/oci/signature-set.ts";
import { inCas, openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";
import { imageManifestText } from "./image-manifest-text.ts";
import { loadImage } from "./load.ts";

/** As fetch would give it. Nothing in it is checked: that is what `verifyDownload` and the unpacker do. Throws NOT_FOUND when the manifest is missing. */
export function storedDownload(dataDir: DataDir, image: StoredImage, options: StoreOptions = {}): Download {
  const store = openStore(dataDir, options);
  const { id, name, labels, origin, manifest, config, source } = image;
  if (image.format === "oci") {
    if (manifest === undefined || config === undefined) throw internalError(`OCI image ${id} without manifest`);
    const oci = {
      format: "oci",
      id,
      name,
      labels,
      origin,
      manifest,
      config,
      layers: image.layers.map(ociLayer),
    } as const;
    const signatures = signaturesOf(store, image);
    return { ...oci, ...(source && { source }), ...(signatures && { signatures }) };
  }
  const [archive] = image.layers;
  if (archive === undefined) throw internalError(`ACI ${id} without archive`);
  return {
    format: "aci",
    id,
    name,
    labels,
    origin,
    archive: { digest: archive.digest, size: archive.size, mediaType: archive.mediaType },
    uncompressedSize: loadImage(store, id)?.uncompressedSize ?? 0,
    signature: signatureOf(store, image),
    manifest: Buffer.from(imageManifestText(dataDir, image, store)),
  };
}

function ociLayer(layer: StoredImage["layers"][number]): LayerRef {
  if (layer.diffId === undefined) throw internalError("OCI layer without diff id");
  return { ...layer, diffId: layer.diffId };
}

function signatureOf(store: Store, { id }: StoredImage): Buffer | undefined {
  const path = inCas(store, store.dataDir.imageSignature(id));
  return readFileBeneath(store.host, store.dataDir.cas, path, RECORD_LIMIT);
}

function signaturesOf(store: Store, { id }: StoredImage): SignatureSet | undefined {
  const path = inCas(store, store.dataDir.imageSignatures(id));
  const bytes = readFileBeneath(store.host, store.dataDir.cas, path, RECORD_LIMIT);
  return bytes && decodeSignatureSet(readDocument(bytes.toString("utf8"), "the signatures of the image"));
}
