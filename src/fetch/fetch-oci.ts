/** Brings an OCI (or Docker schema 2) image into the store: index → manifest → configuration and layers, each checked before it is believed. */

import { type Digest, formatDigest, imageIdFromSha512 } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { LayerRef, OciDownload, SignatureSet } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import {
  type Descriptor,
  documentKind,
  type ImageConfig,
  isConfigMediaType,
  isLayerMediaType,
  type Manifest,
  parseConfig,
  parseIndex,
  parseManifest,
  selectPlatform,
  type WantedPlatform,
} from "../spec/oci/mod.ts";
import { ociImageName } from "../spec/oci-to-appc.ts";
import { receiveBlob } from "./blob-transfer.ts";
import { storeBytes } from "./cas.ts";
import { digestOfBytes, requireDigest } from "./document-digest.ts";
import type { ImageSource, RootDocument } from "./image-source.ts";
import { inParallel, type Job } from "./job.ts";
import { storedBytes } from "./manifest-record.ts";
import { LARGEST_DOCUMENT } from "./registry.ts";
import { collectFromLookaside } from "./registry-signatures.ts";
import { signatureCollector } from "./signature-collector.ts";

/** overlayfs takes 500 lower directories. */
const MOST_LAYERS = 500;
/** An index may lead to an index; honest images do so once. */
const DEEPEST_INDEX = 3;
/** Enough to fill a line; registries count connections. */
const PARALLEL_LAYERS = 4;

interface CheckedManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** The indexes that led to it, the first one first. */
  readonly indexes: readonly { readonly bytes: Buffer; readonly digest: Digest }[];
}

/** Where signatures are looked for besides the image's own source. */
export interface SignaturePlaces {
  /** True: `--signature` names the one signature that counts, so nothing is looked for. */
  readonly given: boolean;
  /** True: without any signature the image will be refused, so that its layers need not be fetched. */
  readonly required: boolean;
  /** URLs that end in the repository's name (containers-registries.d(5), "lookaside"). */
  readonly lookaside: readonly string[];
}

/**
 * Fetches the image that `source` names, for `platform` where there is a choice. `origin` is noted in the result. With `places` its signatures are
 * fetched as well, before the layers. With `unpackedNext` the layers' diff ids are left to the unpacker, so that nothing is decompressed twice.
 * Throws NOT_FOUND, UNSUPPORTED, INVALID_INPUT, DIGEST_MISMATCH, MALICIOUS, AUTHENTICATION, TransferError.
 */
export async function fetchOci(
  job: Job,
  source: ImageSource,
  platform: WantedPlatform,
  origin: string,
  places?: SignaturePlaces,
  unpackedNext = false,
): Promise<OciDownload> {
  const checked = await resolveManifest(job, source, platform);
  const { bytes, digest, manifest } = checked;
  assertImage(manifest);
  const config = await fetchConfig(job, source, manifest.config);
  const signatures = places && (await findSignatures(job, source, checked, places));
  if (places?.required === true && signatures?.documents.length === 0) throw unsigned(signatures, source, origin);
  const layers = pairLayers(manifest, config);
  await inParallel(job, layers, PARALLEL_LAYERS, (inner, layer) =>
    receiveBlob(inner, unpackedNext ? { ...layer.ref, diffId: undefined } : layer.ref, source.layer(layer.descriptor)),
  );
  // Last: a manifest in the store names blobs that are there.
  await storeBytes(job.cas, digest, bytes);
  const { name, labels } = ociImageName({
    config,
    manifestDigest: digest,
    configDigest: manifest.config.digest,
    ...source.origin,
    origin,
  });
  return {
    format: "oci",
    id: imageIdFromSha512(digestOfBytes("sha512", bytes).hex),
    manifest: { digest, size: bytes.length, mediaType: manifest.mediaType },
    config: { digest: manifest.config.digest, size: manifest.config.size, mediaType: manifest.config.mediaType },
    layers: layers.map((layer) => layer.ref),
    source: source.origin,
    name,
    labels,
    origin,
    ...(signatures && { signatures }),
  };
}

async function findSignatures(
  job: Job,
  source: ImageSource,
  { digest, indexes }: CheckedManifest,
  { given, lookaside }: SignaturePlaces,
): Promise<SignatureSet> {
  const subjects = [digest, ...indexes.map((index) => index.digest)];
  const collector = signatureCollector(
    job,
    indexes.map((index) => index.bytes),
  );
  if (given) return collector.result();
  await Promise.all([
    source.signatures?.(job, subjects, collector),
    collectFromLookaside(job, lookaside, subjects, collector),
  ]);
  return collector.result();
}

function unsigned(
  { searched }: SignatureSet,
  { origin: { registry, repository } }: ImageSource,
  origin: string,
): RktError {
  const places = searched.join(", ");
  return new RktError(
    "NOT_TRUSTED",
    `Cannot verify image ${quoted(origin)}: it has no signature; looked at ${places}`,
    {
      hint: `sign it, and trust its signer with "rkt trust --prefix=${registry}/${repository} KEY" (or --identity and --issuer); or accept it unsigned with --insecure-options=image`,
    },
  );
}

async function resolveManifest(job: Job, source: ImageSource, platform: WantedPlatform): Promise<CheckedManifest> {
  let document: RootDocument = await source.root(job);
  const indexes: { bytes: Buffer; digest: Digest }[] = [];
  for (let depth = 0; depth < DEEPEST_INDEX; depth += 1) {
    const digest = digestOfBytes(document.expected?.algorithm ?? "sha256", document.bytes);
    if (document.expected !== undefined) requireDigest("the image's manifest", digest, document.expected);
    const json = document.bytes.toString("utf8");
    const mediaType = specificType(document.mediaType);
    if (documentKind(json) === "manifest")
      return { bytes: document.bytes, digest, manifest: parseManifest(json, mediaType), indexes };
    const chosen = selectPlatform(parseIndex(json, mediaType), platform);
    // Kept for the caller, who follows a digest of the user's to the manifest again.
    await storeBytes(job.cas, digest, document.bytes);
    indexes.push({ bytes: document.bytes, digest });
    document = {
      bytes: await fetchDocument(job, source, chosen),
      mediaType: chosen.mediaType,
      expected: chosen.digest,
    };
  }
  throw new RktError("INVALID_INPUT", `Cannot use the image: its index leads to an index ${DEEPEST_INDEX} times`);
}

/** Simple servers send every document as plain JSON: then the document itself says what it is. */
function specificType(mediaType: string | undefined): string | undefined {
  return mediaType === "application/json" || mediaType === "text/plain" || mediaType === "application/octet-stream"
    ? undefined
    : mediaType;
}

/** A document by descriptor, with its size and digest checked. */
async function fetchDocument(job: Job, source: ImageSource, descriptor: Descriptor): Promise<Buffer> {
  if (descriptor.size > LARGEST_DOCUMENT) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use ${formatDigest(descriptor.digest)}: it has ${descriptor.size} bytes, expected at most ${LARGEST_DOCUMENT}`,
    );
  }
  const bytes =
    embedded(descriptor) ??
    storedBytes(job.cas, descriptor.digest, descriptor.size) ??
    (await source.document(job, descriptor));
  const what = `the document ${formatDigest(descriptor.digest)}`;
  if (bytes.length !== descriptor.size) {
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot use ${what}: it has ${bytes.length} bytes, expected ${descriptor.size}`,
    );
  }
  requireDigest(what, digestOfBytes(descriptor.digest.algorithm, bytes), descriptor.digest);
  return bytes;
}

/** descriptor.md, "data": the content itself, checked like any other copy of it. */
function embedded(descriptor: Descriptor): Buffer | undefined {
  const bytes = descriptor.data === undefined ? undefined : Buffer.from(descriptor.data, "base64");
  return bytes?.length === descriptor.size ? bytes : undefined;
}

function assertImage(manifest: Manifest): void {
  if (!isConfigMediaType(manifest.config.mediaType)) {
    const type = manifest.artifactType ?? manifest.config.mediaType;
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use the image: it is an artifact of type ${quoted(type)}, expected an image that can run`,
    );
  }
  if (manifest.layers.length > MOST_LAYERS) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use the image: it has ${manifest.layers.length} layers, expected at most ${MOST_LAYERS}`,
    );
  }
  for (const layer of manifest.layers) {
    if (!isLayerMediaType(layer.mediaType)) {
      throw new RktError("UNSUPPORTED", `Cannot use the image: a layer has the media type ${quoted(layer.mediaType)}`);
    }
  }
}

async function fetchConfig(job: Job, source: ImageSource, descriptor: Descriptor): Promise<ImageConfig> {
  const bytes = await fetchDocument(job, source, descriptor);
  const config = parseConfig(bytes.toString("utf8"));
  await storeBytes(job.cas, descriptor.digest, bytes);
  return config;
}

function pairLayers(manifest: Manifest, config: ImageConfig): { descriptor: Descriptor; ref: LayerRef }[] {
  if (config.diffIds.length !== manifest.layers.length) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use the image: its manifest has ${manifest.layers.length} layers, its configuration ${config.diffIds.length}`,
    );
  }
  return manifest.layers.map((descriptor, at) => {
    const { digest, size, mediaType } = descriptor;
    return { descriptor, ref: { digest, size, mediaType, diffId: config.diffIds[at] ?? digest } };
  });
}
