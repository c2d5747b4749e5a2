/** Signatures inside an OCI layout: what cosign saves, and the referrers that tools like oras copy, are entries of index.json like the image itself. */

import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import {
  type Descriptor,
  documentKind,
  type Index,
  isManifestMediaType,
  parseIndex,
  parseManifest,
} from "../spec/oci/mod.ts";
import { SIGNATURE_LIMITS } from "../spec/oci/signature-set.ts";
import type { SignatureCollector } from "./signature-collector.ts";
import { collectFromManifest, cosignTag, mayBeSignature, referrersTag } from "./signature-manifest.ts";

/** A signature's manifest is small; an image's is looked into only when it is, too. */
const LARGEST_MANIFEST = 128 * 1024;

/** `read` gives a blob of the layout. */
export async function collectFromLayout(
  index: Index,
  subjects: readonly Digest[],
  read: (descriptor: Descriptor) => Buffer,
  collector: SignatureCollector,
): Promise<void> {
  await collector.search("the layout's index", async () => {
    for (const descriptor of candidates(index, subjects, read).slice(0, SIGNATURE_LIMITS.documents)) {
      const json = text(descriptor, read);
      if (json !== undefined && isAbout(descriptor, json, subjects))
        await collectFromManifest(json, async (layer) => read(layer), collector);
    }
  });
}

/** Every manifest that may hold signatures: entries of index.json, and of the lists that stand there under a referrers tag. */
function candidates(index: Index, subjects: readonly Digest[], read: (descriptor: Descriptor) => Buffer): Descriptor[] {
  const images = subjects.map(formatDigest);
  return index.manifests.flatMap((entry) => {
    if (images.includes(formatDigest(entry.digest))) return [];
    if (subjects.some((subject) => hasTag(entry, referrersTag(subject)))) {
      const json = text(entry, read);
      if (json !== undefined && documentKind(json) === "index")
        return parseIndex(json).manifests.filter(mayBeSignature);
    }
    return isManifestMediaType(entry.mediaType) && mayBeSignature(entry) ? [entry] : [];
  });
}

/** cosign's own marks, or a subject that is the image (image-spec, manifest.md, "subject"). */
function isAbout(descriptor: Descriptor, json: string, subjects: readonly Digest[]): boolean {
  if (annotation(descriptor, "kind") === "dev.cosignproject.cosign/sigs") return true;
  if (subjects.some((subject) => hasTag(descriptor, cosignTag(subject)))) return true;
  try {
    const { subject } = parseManifest(json);
    return subject !== undefined && subjects.some((one) => formatDigest(one) === formatDigest(subject.digest));
  } catch (error) {
    if (error instanceof RktError) return false;
    throw error;
  }
}

function text(descriptor: Descriptor, read: (descriptor: Descriptor) => Buffer): string | undefined {
  if (descriptor.size > LARGEST_MANIFEST) return undefined;
  try {
    return read(descriptor).toString("utf8");
  } catch (error) {
    // The other images of a layout need not be whole.
    if (error instanceof RktError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** The reference name is the tag, or ends in it. */
function hasTag(descriptor: Descriptor, tag: string): boolean {
  const name = annotation(descriptor, "org.opencontainers.image.ref.name") ?? "";
  return name === tag || name.endsWith(`:${tag}`);
}

function annotation(descriptor: Descriptor, key: string): string | undefined {
  return descriptor.annotations.find(({ name }) => name === key)?.value;
}
