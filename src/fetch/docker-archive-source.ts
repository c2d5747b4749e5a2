/**
 * The result of `docker save` (a tar file with manifest.json) as an {@link ImageSource}. Such an image has no manifest of its own: an OCI manifest is made
 * from what is there, always the same for the same content.
 */

import { basename } from "node:path";
import { detectCompression, MAGIC_LENGTH } from "../core/compression.ts";
import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, OciSource } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { field, items, optionalText, type Place, text } from "../spec/document.ts";
import type { JsonValue } from "../spec/json-value.ts";
import { type Descriptor, MEDIA_TYPE, parseConfig } from "../spec/oci/mod.ts";
import { parseDockerReference } from "./docker-reference.ts";
import { digestOfBytes } from "./document-digest.ts";
import type { ImageFiles } from "./image-files.ts";
import type { ImageSource } from "./image-source.ts";
import { contentCheck } from "./layer-check.ts";
import { LARGEST_DOCUMENT } from "./registry.ts";

type ArchiveReference = Extract<ImageReference, { path: string; name: string | undefined }>;

interface SavedImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** Throws NOT_FOUND, AMBIGUOUS, INVALID_INPUT; UNSUPPORTED for archives of Docker before 1.10. */
export async function dockerArchiveSource(reference: ArchiveReference, files: ImageFiles): Promise<ImageSource> {
  const image = choose(savedImages(files), reference);
  const config = files.read(image.config, LARGEST_DOCUMENT);
  const { diffIds } = parseConfig(config.toString("utf8"));
  if (diffIds.length !== image.layers.length) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use the image: it has ${image.layers.length} layers, but ${diffIds.length} diff ids`,
    );
  }
  const names = new Map<string, string>();
  const layers: LayerDescriptor[] = [];
  for (const [at, name] of image.layers.entries()) {
    const layer = await describeLayer(files, name, diffIds[at]);
    names.set(layer.digest, name);
    layers.push(layer);
  }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: {
        mediaType: MEDIA_TYPE.ociConfig,
        digest: formatDigest(digestOfBytes("sha256", config)),
        size: config.length,
      },
      layers,
    }),
  );
  return {
    origin: originOf(image, reference),
    async root() {
      return { bytes: manifest, mediaType: MEDIA_TYPE.ociManifest, expected: undefined };
    },
    document: async () => config,
    layer: (descriptor: Descriptor) => (offset) =>
      files.content(names.get(formatDigest(descriptor.digest)) ?? "", offset),
    close: files.close,
  };
}

interface LayerDescriptor {
  mediaType: string;
  digest: string;
  size: number;
}

/** `docker save` writes plain tar files, whose digest is their diff id; other writers compress them. */
async function describeLayer(files: ImageFiles, name: string, diffId: Digest | undefined): Promise<LayerDescriptor> {
  const size = files.size(name);
  if (size === undefined || diffId === undefined) {
    throw new RktError("INVALID_INPUT", `Cannot use the image: the archive holds no layer ${quoted(name)}`);
  }
  const compression = detectCompression(firstBytes(files, name));
  if (compression === "none") {
    return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: formatDigest(diffId), size };
  }
  if (compression !== "gzip" && compression !== "zstd") {
    throw new RktError("UNSUPPORTED", `Cannot use layer ${quoted(name)}: it is compressed by ${compression}`);
  }
  const check = contentCheck("sha256", undefined);
  for (const piece of files.content(name, 0)) await check.feed(piece);
  const { digest } = await check.finish();
  return { mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`, digest: formatDigest(digest), size };
}

function firstBytes(files: ImageFiles, name: string): Uint8Array {
  for (const piece of files.content(name, 0)) return Uint8Array.from(piece.subarray(0, MAGIC_LENGTH));
  return new Uint8Array();
}

function savedImages(files: ImageFiles): SavedImage[] {
  if (files.size("manifest.json") === undefined) {
    const old = files.size("repositories") !== undefined;
    throw new RktError(
      old ? "UNSUPPORTED" : "INVALID_INPUT",
      `Cannot read the image: the archive holds no "manifest.json"${old ? ", it was saved by a Docker before 1.10" : ""}`,
      { hint: old ? "load and save it again with a newer Docker" : "expected the result of `docker save`" },
    );
  }
  let value: JsonValue;
  try {
    value = JSON.parse(files.read("manifest.json", LARGEST_DOCUMENT).toString("utf8"));
  } catch (cause) {
    if (cause instanceof RktError) throw cause;
    throw new RktError("INVALID_INPUT", 'Cannot read "manifest.json" of the archive: it is not JSON', { cause });
  }
  const place: Place = { document: '"manifest.json" of the archive', path: "", value };
  return items(place).map((image) => ({
    config: text(field(image, "Config")),
    tags: items(field(image, "RepoTags")).map((tag) => optionalText(tag) ?? ""),
    layers: items(field(image, "Layers")).map(text),
  }));
}

function choose(images: readonly SavedImage[], reference: ArchiveReference): SavedImage {
  const wanted = reference.name === undefined ? undefined : fullName(reference.name);
  const named = images.filter((image) => wanted === undefined || image.tags.some((tag) => fullName(tag) === wanted));
  const [first, second] = named;
  if (first !== undefined && second === undefined) return first;
  const tags = images.flatMap((image) => image.tags).slice(0, 32);
  const hint = tags.length === 0 ? {} : { hint: `it holds: ${tags.map((tag) => quoted(tag, 80)).join(", ")}` };
  const where = quoted(reference.path);
  if (first !== undefined) {
    throw new RktError("AMBIGUOUS", `Cannot choose an image of the archive ${where}: it holds ${named.length}`, hint);
  }
  const what = reference.name === undefined ? "an image" : `an image named ${quoted(reference.name)}`;
  throw new RktError("NOT_FOUND", `Cannot find ${what} in the archive ${where}`, hint);
}

/** "busybox" and "docker.io/library/busybox:latest" are one name. Undefined for what is no name. */
function fullName(tag: string): string | undefined {
  try {
    const { registry, repository, tag: version } = parseDockerReference(`docker://${tag}`);
    return `${registry}/${repository}:${version}`;
  } catch {
    return undefined;
  }
}

function originOf(image: SavedImage, reference: ArchiveReference): OciSource {
  for (const tag of reference.name === undefined ? image.tags : [reference.name, ...image.tags]) {
    if (fullName(tag) === undefined) continue;
    const { registry, repository, tag: version = "" } = parseDockerReference(`docker://${tag}`);
    return { registry, repository, reference: version };
  }
  return { registry: undefined, repository: basename(reference.path).replace(/\.tar$/, ""), reference: "" };
}
