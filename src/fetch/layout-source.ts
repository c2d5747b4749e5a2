/** An OCI image layout (image-layout.md), a directory or a tar file of one, as an {@link ImageSource}. */

import { basename } from "node:path";
import { formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, OciSource } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import {
  checkLayoutFile,
  type Descriptor,
  type Index,
  isIndexMediaType,
  isManifestMediaType,
  parseIndex,
  selectPlatform,
  type WantedPlatform,
} from "../spec/oci/mod.ts";
import type { ImageFiles } from "./image-files.ts";
import type { ImageSource } from "./image-source.ts";
import { collectFromLayout } from "./layout-signatures.ts";
import { LARGEST_DOCUMENT } from "./registry.ts";

type LayoutReference = Extract<ImageReference, { path: string; name: string | undefined }>;

/** Throws NOT_FOUND, AMBIGUOUS or INVALID_INPUT when the layout does not hold the image that `reference` names. */
export function layoutSource(reference: LayoutReference, files: ImageFiles, platform: WantedPlatform): ImageSource {
  checkLayoutFile(files.read("oci-layout", LARGEST_DOCUMENT).toString("utf8"));
  const index = parseIndex(files.read("index.json", LARGEST_DOCUMENT).toString("utf8"));
  const chosen = choose(index, reference, platform);
  const read = (descriptor: Descriptor) => files.read(blobName(descriptor), LARGEST_DOCUMENT);
  return {
    origin: originOf(chosen, reference),
    async root() {
      return { bytes: read(chosen), mediaType: chosen.mediaType, expected: chosen.digest };
    },
    document: async (_job, descriptor) => read(descriptor),
    layer: (descriptor) => (offset) => files.content(blobName(descriptor), offset),
    signatures: (_job, subjects, collector) => collectFromLayout(index, subjects, read, collector),
    close: files.close,
  };
}

/** The name is made of a parsed digest, never of what a document says. */
function blobName(descriptor: Descriptor): string {
  return `blobs/${descriptor.digest.algorithm}/${descriptor.digest.hex}`;
}

function choose(index: Index, reference: LayoutReference, platform: WantedPlatform): Descriptor {
  const images = index.manifests.filter(
    (one) => (isManifestMediaType(one.mediaType) || isIndexMediaType(one.mediaType)) && !isAboutImage(one),
  );
  const named = images.filter((one) => reference.name === undefined || isNamed(one, reference.name));
  const [first, second] = named;
  if (
    first !== undefined &&
    (second === undefined || named.every((one) => formatDigest(one.digest) === formatDigest(first.digest)))
  ) {
    return first;
  }
  const where = quoted(reference.path);
  const tags = [...new Set(images.map(refName).filter((tag) => tag !== undefined))];
  const hint =
    tags.length === 0
      ? {}
      : {
          hint: `it holds: ${tags
            .slice(0, 32)
            .map((tag) => quoted(tag, 80))
            .join(", ")}`,
        };
  if (first === undefined) {
    const what = reference.name === undefined ? "an image" : `an image named ${quoted(reference.name)}`;
    throw new RktError("NOT_FOUND", `Cannot find ${what} in the layout ${where}`, hint);
  }
  // One name with an image for each platform, without an index of its own.
  const tagsOfNamed = new Set(named.map(refName));
  if (tagsOfNamed.size === 1 && named.every((one) => one.platform !== undefined))
    return selectPlatform({ ...index, manifests: named }, platform);
  throw new RktError("AMBIGUOUS", `Cannot choose an image of the layout ${where}: it holds ${named.length}`, hint);
}

/** Signatures and the like stand beside the image in index.json: as artifacts, under the tags of registries, or with cosign's mark. */
function isAboutImage(descriptor: Descriptor): boolean {
  return (
    descriptor.artifactType !== undefined ||
    /(^|:)sha(256|512)-[0-9a-f]{64}(\.[a-z]+)?$/.test(refName(descriptor) ?? "") ||
    /^dev\.cosignproject\.cosign\/(sigs|atts)$/.test(annotation(descriptor, "kind") ?? "")
  );
}

/** image-layout.md, "index.json file": the reference name is an annotation. containerd adds the full name. */
function isNamed(descriptor: Descriptor, name: string): boolean {
  return (
    refName(descriptor) === name ||
    annotation(descriptor, "io.containerd.image.name") === name ||
    formatDigest(descriptor.digest) === name
  );
}

function refName(descriptor: Descriptor): string | undefined {
  return annotation(descriptor, "org.opencontainers.image.ref.name");
}

function annotation(descriptor: Descriptor, key: string): string | undefined {
  return descriptor.annotations.find((one) => one.name === key)?.value;
}

/** The full name if containerd noted one; else the tag, and the name of the file. */
function originOf(chosen: Descriptor, reference: LayoutReference): OciSource {
  const full = annotation(chosen, "io.containerd.image.name");
  const repository = basename(reference.path).replace(/\.tar$/, "");
  return { registry: undefined, repository, reference: full ?? refName(chosen) ?? "" };
}
