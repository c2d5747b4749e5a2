/** Images as archives of other tools: an OCI image layout in a tar file (oci-archive), or what `docker save` writes (docker-archive). */

import { closeSync } from "node:fs";
import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { BlobRef, StoredImage } from "../core/spine.ts";
import { hashFile } from "../host/hash-file.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import { appcToOciConfig } from "../spec/appc-to-oci.ts";
import { jsonText, ordered, type Writable } from "../spec/json-text.ts";
import { MEDIA_TYPE } from "../spec/oci/mod.ts";
import { checkBlob, openBlob, readBlob } from "../store/mod.ts";
import { blobsOf } from "../store/record.ts";
import { type ArchiveWriter, archiveWriter } from "./archive-writer.ts";
import { decompressTo, writeWhole } from "./export-file.ts";
import { packDirectory, withUnpacked } from "./image-export.ts";

export type ArchiveFormat = "oci-archive" | "docker-archive";

/**
 * Writes the image to `output`. An OCI image keeps its manifest, and so its digest, in an oci-archive; an App Container image is converted, which needs root. Throws DIGEST_MISMATCH,
 * NOT_FOUND for missing blobs, HOST_PROGRAM, SYSTEM_CALL.
 */
export async function exportArchive(
  engine: Engine,
  image: StoredImage,
  format: ArchiveFormat,
  output: string,
): Promise<void> {
  if (image.format === "aci") {
    await exportConverted(engine, image, format, output);
    return;
  }
  // Before the first byte is written: half of the work would be in vain.
  for (const blob of blobsOf(image)) checkBlob(engine.dataDir, blob);
  await writeWhole(output, async (fd) => {
    const archive = archiveWriter(fd);
    if (format === "oci-archive") writeLayout(engine, image, archive);
    else await writeDockerArchive(engine, image, archive, fd);
    archive.end();
  });
}

function writeLayout({ dataDir }: Engine, image: StoredImage, archive: ArchiveWriter): void {
  const { manifest } = image;
  if (manifest === undefined) throw internalError(`OCI image ${image.id} without manifest`);
  startLayout(archive, indexOf(manifest, refName(image)));
  const written = new Set<string>();
  for (const blob of blobsOf(image)) {
    if (written.has(blob.digest.hex)) continue;
    written.add(blob.digest.hex);
    const fd = openBlob(dataDir, blob);
    try {
      archive.copy(blobName(blob.digest), fd);
    } finally {
      closeSync(fd);
    }
  }
}

function startLayout(archive: ArchiveWriter, index: string): void {
  archive.file("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
  archive.file("index.json", index);
  archive.directory("blobs");
  archive.directory("blobs/sha256");
}

function blobName({ algorithm, hex }: Digest): string {
  return `blobs/${algorithm}/${hex}`;
}

function indexOf({ digest, size, mediaType }: BlobRef, name: string): string {
  const descriptor = ordered(
    ["mediaType", mediaType === "" ? MEDIA_TYPE.ociManifest : mediaType],
    ["digest", formatDigest(digest)],
    ["size", size],
    ["annotations", ordered(["org.opencontainers.image.ref.name", name])],
  );
  return jsonText(ordered(["schemaVersion", 2], ["mediaType", MEDIA_TYPE.ociIndex], ["manifests", [descriptor]]));
}

/** The tag; a digest or a name with other characters is no name of a layout. */
function refName({ source, labels }: StoredImage): string {
  const version = source?.reference ?? labels.find(({ name }) => name === "version")?.value ?? "";
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(version) ? version : "latest";
}

/** Layers without their compression, named by their diff ids, as `docker save` has them. */
async function writeDockerArchive(
  { dataDir }: Engine,
  image: StoredImage,
  archive: ArchiveWriter,
  fd: number,
): Promise<void> {
  const { config } = image;
  if (config === undefined) throw internalError(`OCI image ${image.id} without configuration`);
  const names: string[] = [];
  for (const layer of image.layers) {
    const { diffId } = layer;
    if (diffId === undefined) throw internalError("OCI layer without diff id");
    const name = `${diffId.hex}.tar`;
    if (!names.includes(name)) await writeLayer(dataDir, layer, diffId, name, archive, fd);
    names.push(name);
  }
  const configName = `${config.digest.hex}.json`;
  archive.file(configName, readBlob(dataDir, config));
  archive.file("manifest.json", dockerManifest(configName, dockerName(image), names));
}

async function writeLayer(
  dataDir: Engine["dataDir"],
  layer: BlobRef,
  diffId: Digest,
  name: string,
  archive: ArchiveWriter,
  fd: number,
): Promise<void> {
  const blob = openBlob(dataDir, layer);
  try {
    const { start, size } = await archive.filled(name, (file) => decompressTo(blob, file));
    if (hashFile(fd, diffId.algorithm, start, size) === diffId.hex) return;
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot export blob ${formatDigest(layer.digest)}: uncompressed it is not ${formatDigest(diffId)}`,
    );
  } finally {
    closeSync(blob);
  }
}

function dockerManifest(config: string, name: string | undefined, layers: readonly string[]): string {
  return jsonText([
    ordered(["Config", config], ["RepoTags", name === undefined ? null : [name]], ["Layers", layers]),
  ] satisfies Writable);
}

/** What the image is called after `docker load`; nothing for one that came from a layout, or by digest. */
function dockerName({ source }: StoredImage): string | undefined {
  if (source?.registry === undefined || source.repository === undefined || source.reference.includes(":"))
    return undefined;
  const registry = source.registry === "registry-1.docker.io" ? "docker.io" : source.registry;
  return `${registry}/${source.repository}:${source.reference === "" ? "latest" : source.reference}`;
}

/** An App Container image as an OCI image of one layer: the files that it is run with, dependencies included, and a configuration made from its manifest. */
async function exportConverted(
  engine: Engine,
  image: StoredImage,
  format: ArchiveFormat,
  output: string,
): Promise<void> {
  await withUnpacked(engine, image, async (directory, tree) => {
    await writeWhole(output, async (fd) => {
      const archive = archiveWriter(fd);
      // In front, under a name of its own: its digest, by which everything else names it, is known only afterwards.
      const { start, size } = await archive.filled(LAYER_PLACEHOLDER, (file) =>
        packDirectory(`${directory}/rootfs`, ["."], file),
      );
      const diffId = parseDigest(`sha256:${hashFile(fd, "sha256", start, size)}`);
      const config = appcToOciConfig(parseImageManifest(tree.manifest), diffId);
      const named = format === "oci-archive" ? blobName(diffId) : `${diffId.hex}.tar`;
      archive.rename(named);
      if (format === "oci-archive") writeConvertedLayout(archive, image, config, { digest: diffId, size });
      else {
        const configName = `${sha256(config).hex}.json`;
        archive.file(configName, config);
        archive.file("manifest.json", dockerManifest(configName, undefined, [named]));
      }
      archive.end();
    });
  });
}

const LAYER_PLACEHOLDER = "layer";

function writeConvertedLayout(
  archive: ArchiveWriter,
  image: StoredImage,
  config: string,
  layer: { digest: Digest; size: number },
): void {
  const described = (mediaType: string, digest: Digest, size: number): Writable =>
    ordered(["mediaType", mediaType], ["digest", formatDigest(digest)], ["size", size]);
  const manifest = jsonText(
    ordered(
      ["schemaVersion", 2],
      ["mediaType", MEDIA_TYPE.ociManifest],
      ["config", described(MEDIA_TYPE.ociConfig, sha256(config), Buffer.byteLength(config))],
      ["layers", [described("application/vnd.oci.image.layer.v1.tar", layer.digest, layer.size)]],
    ),
  );
  const digest = sha256(manifest);
  archive.file(blobName(sha256(config)), config);
  archive.file(blobName(digest), manifest);
  archive.file("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
  const blob = { digest, size: Buffer.byteLength(manifest), mediaType: MEDIA_TYPE.ociManifest };
  archive.file("index.json", indexOf(blob, refName(image)));
}

function sha256(text: string): Digest {
  return parseDigest(`sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`);
}
