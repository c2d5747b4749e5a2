/**
 * Puts an image into a v2 registry (OCI distribution-spec 1.1, "Push"): its blobs first, each only if the registry lacks it, and at last the manifest, with the bytes
 * that it was fetched with, so that its digest and its signatures stay true.
 */

import { closeSync } from "node:fs";
import { formatDigest, sameDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type Descriptor, isForeignLayerMediaType, type Manifest, parseManifest } from "../spec/oci/mod.ts";
import { blobSize, openBlob, readPieces } from "./cas.ts";
import { digestOfBytes } from "./document-digest.ts";
import { debug, inParallel, type Job, retryOptions } from "./job.ts";
import { pushBlob } from "./push-blob.ts";
import { pushError } from "./push-error.ts";
import type { PushRequest } from "./push-messages.ts";
import { LARGEST_DOCUMENT } from "./registry.ts";
import { registryClient } from "./registry-client.ts";
import { withRetries } from "./transfer-error.ts";

const PARALLEL_BLOBS = 3;

/** Throws NOT_FOUND or DIGEST_MISMATCH (a blob of the store), AUTHENTICATION, TransferError, INVALID_INPUT (what the registry refuses). */
export async function pushManifest(job: Job, request: PushRequest): Promise<void> {
  const { place, text, mounts } = request;
  const { bytes, manifest } = readManifest(job, request);
  const others = [...new Set(Object.values(mounts))];
  const client = registryClient(job, {
    ...place,
    scopes: [`repository:${place.repository}:pull,push`, ...others.map((name) => `repository:${name}:pull`)],
    purpose: `Cannot push to ${quoted(text)}`,
    withoutCredentials: "wants credentials",
  });
  await inParallel(job, blobsToPush(manifest), PARALLEL_BLOBS, (inner, blob) =>
    pushBlob(inner, { client, repository: place.repository, text }, blob, mounts[formatDigest(blob.digest)]),
  );
  await withRetries(retryOptions(job), async () => {
    const reply = await client.request(`/v2/${place.repository}/manifests/${request.version}`, {
      method: "PUT",
      headers: { "Content-Type": request.manifest.mediaType, "Content-Length": String(bytes.length) },
      body: bytes,
      signal: job.signal,
    });
    if (reply.status !== 201) throw await pushError(reply, text, "the manifest", client);
    reply.discard();
  });
  debug(job, `pushed ${formatDigest(request.manifest.digest)} to ${text}`);
}

function readManifest(job: Job, { manifest: wanted }: PushRequest): { bytes: Buffer; manifest: Manifest } {
  const name = formatDigest(wanted.digest);
  if (blobSize(job.cas, wanted.digest) !== wanted.size || wanted.size > LARGEST_DOCUMENT)
    throw new RktError("NOT_FOUND", `Cannot push the image: its manifest ${name} is not in the store`);
  const fd = openBlob(job.cas, wanted.digest);
  try {
    const bytes = Buffer.concat([...readPieces(fd, 0, wanted.size)].map((piece) => Buffer.from(piece)));
    if (!sameDigest(digestOfBytes(wanted.digest.algorithm, bytes), wanted.digest))
      throw new RktError("DIGEST_MISMATCH", `Cannot push the image: its manifest ${name} in the store is damaged`);
    return { bytes, manifest: parseManifest(bytes.toString("utf8"), wanted.mediaType) };
  } finally {
    closeSync(fd);
  }
}

/** Each digest once. Layers that no registry may hold stay where their URLs say (image-spec, "Non-Distributable Layers"). */
function blobsToPush({ config, layers }: Manifest): Descriptor[] {
  const wanted = [
    config,
    ...layers.filter((layer) => !isForeignLayerMediaType(layer.mediaType) || layer.urls.length === 0),
  ];
  return [...new Map(wanted.map((blob) => [formatDigest(blob.digest), blob])).values()];
}
