/**
 * What the caller makes sure of before it believes the fetch worker's answer. The worker has eaten what strangers wrote and may speak with their voice: so every
 * blob must be there, and everything said about an OCI image must follow from its manifest's bytes, which root hashes and reads itself (small JSON). Layers and
 * archives are not read here: who unpacks them hashes them again, and an ACI's id counts only when the unpacker finds it.
 */

import { closeSync } from "node:fs";
import { relative } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { type Digest, formatDigest, imageIdFromSha512, sameDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { BlobRef, Download, ImageReference, OciDownload } from "../core/spine.ts";
import { openFileBeneath, readFileBeneath } from "../host/beneath.ts";
import { linux } from "../host/mod.ts";
import {
  documentKind,
  parseConfig,
  parseIndex,
  parseManifest,
  selectPlatform,
  type WantedPlatform,
} from "../spec/oci/mod.ts";
import { ociImageName } from "../spec/oci-to-appc.ts";
import { dockerSource } from "./docker-reference.ts";
import { digestOfBytes } from "./document-digest.ts";
import { LARGEST_DOCUMENT } from "./registry.ts";

/** Throws HOST_PROGRAM when the answer does not hold together, DIGEST_MISMATCH when it is not what a digest in `reference` names. */
export function checkAnswer(
  dataDir: DataDir,
  reference: ImageReference,
  platform: WantedPlatform,
  download: Download,
): void {
  const wanted = ["aci-file", "aci-url", "appc"].includes(reference.kind) ? "aci" : "oci";
  if (download.format !== wanted) throw lies("it answered with an image of another kind");
  for (const blob of blobsOf(download)) assertStored(dataDir, blob);
  if (download.format === "aci") return;
  assertFollows(dataDir, download);
  if (reference.kind === "docker" && JSON.stringify(download.source) !== JSON.stringify(dockerSource(reference))) {
    throw lies("it names another origin than the one asked for");
  }
  if (reference.kind === "docker" && reference.digest !== undefined)
    assertPinned(dataDir, reference.digest, platform, download);
}

function blobsOf(download: Download): BlobRef[] {
  return download.format === "aci" ? [download.archive] : [download.manifest, download.config, ...download.layers];
}

function assertStored(dataDir: DataDir, blob: BlobRef): void {
  const file = openFileBeneath(linux, dataDir.cas, relative(dataDir.cas, dataDir.blob(blob.digest)));
  if (file !== undefined) closeSync(file.fd);
  if (file?.size !== blob.size)
    throw lies(`it named the blob ${formatDigest(blob.digest)}, which the store does not hold`);
}

/** Id, configuration, layers, name and labels are what the manifest and the configuration say. */
function assertFollows(dataDir: DataDir, download: OciDownload): void {
  const bytes = readDocument(dataDir, download.manifest.digest);
  const manifest = parseManifest(bytes.toString("utf8"), download.manifest.mediaType);
  const config = parseConfig(readDocument(dataDir, manifest.config.digest).toString("utf8"));
  const said = {
    id: imageIdFromSha512(digestOfBytes("sha512", bytes).hex),
    config: textOf(manifest.config),
    layers: manifest.layers.map((layer, at) => `${textOf(layer)} ${formatDigest(config.diffIds[at] ?? layer.digest)}`),
    named: ociImageName({
      config,
      manifestDigest: download.manifest.digest,
      registry: download.source?.registry,
      repository: download.source?.repository,
      reference: download.source?.reference ?? "",
      origin: download.origin,
    }),
  };
  const answered = {
    id: download.id,
    config: textOf(download.config),
    layers: download.layers.map((layer) => `${textOf(layer)} ${formatDigest(layer.diffId)}`),
    named: { name: download.name, labels: download.labels },
  };
  if (JSON.stringify(said) !== JSON.stringify(answered))
    throw lies("what it says of the image does not follow from the manifest");
}

/** A digest in the reference is the operator's word on what may run: an index that has it must lead to this manifest. */
function assertPinned(dataDir: DataDir, pin: Digest, platform: WantedPlatform, download: OciDownload): void {
  let digest = pin;
  for (let depth = 0; depth < 4; depth += 1) {
    if (sameDigest(digest, download.manifest.digest)) return;
    const json = readDocument(dataDir, digest).toString("utf8");
    if (documentKind(json) !== "index") break;
    digest = selectPlatform(parseIndex(json), platform).digest;
  }
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot use the image: its manifest is ${formatDigest(download.manifest.digest)}, which ${formatDigest(pin)} does not lead to`,
  );
}

function readDocument(dataDir: DataDir, digest: Digest): Buffer {
  const bytes = readFileBeneath(linux, dataDir.cas, relative(dataDir.cas, dataDir.blob(digest)), LARGEST_DOCUMENT);
  if (bytes === undefined) throw lies(`the store does not hold ${formatDigest(digest)}`);
  if (sameDigest(digestOfBytes(digest.algorithm, bytes), digest)) return bytes;
  throw lies(`the blob ${formatDigest(digest)} has another content`);
}

function textOf(blob: BlobRef): string {
  return `${formatDigest(blob.digest)} ${blob.size} ${blob.mediaType}`;
}

function lies(how: string): RktError {
  return new RktError("HOST_PROGRAM", `Cannot fetch: the fetch worker cannot be believed: ${how}`);
}
