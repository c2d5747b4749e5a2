/** An image in a v2 registry as an {@link ImageSource}. */

import { formatDigest, sameDigest } from "../core/digest.ts";
import { internalError, RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type Descriptor, isForeignLayerMediaType } from "../spec/oci/mod.ts";
import { type DockerReference, dockerSource } from "./docker-reference.ts";
import { digestOfBytes } from "./document-digest.ts";
import { httpGet } from "./http.ts";
import type { ImageSource } from "./image-source.ts";
import { debug, type Job, retryOptions } from "./job.ts";
import { readManifestRecord, writeManifestRecord } from "./manifest-record.ts";
import {
  contentFrom,
  type FetchedDocument,
  LARGEST_DOCUMENT,
  openRegistry,
  type Registry,
  type RegistryPlace,
} from "./registry.ts";
import { collectFromRegistry } from "./registry-signatures.ts";
import { withRetries } from "./transfer-error.ts";

/** `place`: where the image is taken from, which may be a mirror. */
export function registrySource(job: Job, reference: DockerReference, place: RegistryPlace): ImageSource {
  const registry = openRegistry(job, place, reference.text);
  const origin = dockerSource(reference);
  return {
    origin,
    async root(inner) {
      debug(inner, `remote fetching from URL ${quoted(reference.text)}`);
      debug(inner, `fetching image from ${reference.text}`);
      const document = await currentManifest(inner, registry, place, origin.reference);
      if (
        reference.digest !== undefined &&
        document.claimed !== undefined &&
        !sameDigest(document.claimed, reference.digest)
      ) {
        throw new RktError(
          "DIGEST_MISMATCH",
          `Cannot fetch ${quoted(reference.text)}: the registry answered with ${formatDigest(document.claimed)}`,
        );
      }
      return { bytes: document.bytes, mediaType: document.mediaType, expected: reference.digest ?? document.claimed };
    },
    async document(inner, descriptor) {
      if (isDocument(descriptor)) return (await registry.manifest(inner, formatDigest(descriptor.digest))).bytes;
      return withRetries(retryOptions(inner), () =>
        collect(registry.blob(descriptor.digest, 0, inner.signal), descriptor),
      );
    },
    layer: (descriptor) =>
      isForeignLayerMediaType(descriptor.mediaType) && descriptor.urls.length > 0
        ? (offset, signal) => foreignLayer(job, descriptor, offset, signal)
        : (offset, signal) => registry.blob(descriptor.digest, offset, signal),
    signatures: (inner, subjects, collector) => collectFromRegistry(inner, registry, subjects, collector),
    close: () => {},
  };
}

/** The document that the name stands for at the moment: from the store, when the registry says that it has not changed. */
async function currentManifest(
  job: Job,
  registry: Registry,
  { registry: host, repository }: RegistryPlace,
  version: string,
): Promise<FetchedDocument> {
  const name = JSON.stringify([host, repository, version]);
  const key = new Bun.CryptoHasher("sha256").update(name).digest("hex");
  const known = readManifestRecord(job.cas, key);
  const document = await registry.manifest(job, version, known?.etag ?? "");
  if (document === "unchanged") {
    if (known === undefined) throw internalError("an answer to a condition that was not set");
    debug(job, `image for ${host}/${repository} has not changed, not fetching.`);
    return { bytes: known.bytes, mediaType: known.mediaType, claimed: known.digest, etag: known.etag };
  }
  const { bytes, mediaType, claimed, etag } = document;
  if (etag !== "" && etag.length <= 1024) {
    const digest = digestOfBytes(claimed?.algorithm ?? "sha256", bytes);
    writeManifestRecord(job.cas, key, { digest, size: bytes.length, mediaType, etag });
  }
  return document;
}

/** Manifests and indexes have an address of their own in a registry; configurations are blobs. */
function isDocument(descriptor: Descriptor): boolean {
  return /\.(?:index|manifest)\.|manifest\.list\./.test(descriptor.mediaType);
}

async function collect(content: AsyncIterable<Uint8Array>, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > Math.min(descriptor.size, LARGEST_DOCUMENT)) break; // Too long: its digest will be wrong.
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A layer that the registry does not hold. Whoever wrote the manifest chose these URLs: they get no credentials (CVE-2020-15157). */
async function* foreignLayer(job: Job, descriptor: Descriptor, offset: number, signal: AbortSignal | undefined) {
  const url = descriptor.urls.find((text) => URL.canParse(text) && new URL(text).protocol === "https:");
  if (url === undefined) {
    throw new RktError("UNSUPPORTED", `Cannot fetch layer ${formatDigest(descriptor.digest)}: it names no https URL`);
  }
  yield* contentFrom(offset, `layer ${formatDigest(descriptor.digest)}`, (headers) =>
    httpGet(job.http, { url: new URL(url), headers, signal }),
  );
}
