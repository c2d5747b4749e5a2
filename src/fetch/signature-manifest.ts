/** Signatures as artifacts of a registry or layout: a manifest whose layers are bundles (cosign 3, GitHub) or cosign's older signed payloads. */

import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { SignatureDocument } from "../core/spine.ts";
import { type Descriptor, parseManifest } from "../spec/oci/mod.ts";
import { SIGNATURE_LIMITS } from "../spec/oci/signature-set.ts";
import { digestOfBytes, requireDigest } from "./document-digest.ts";
import type { SignatureCollector } from "./signature-collector.ts";

const COSIGN_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json";
const COSIGN_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json";

/** A bundle of any version: "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.1". */
function isBundleType(mediaType: string): boolean {
  return /^application\/vnd\.dev\.sigstore\.bundle(\.v\d+\.\d+)?\+json/.test(mediaType);
}

/** Whether a referrer may be a signature; others are SBOMs and the like. A list that names no type has to be looked into. */
export function mayBeSignature({ artifactType }: Descriptor): boolean {
  return artifactType === undefined || isBundleType(artifactType) || artifactType === COSIGN_ARTIFACT;
}

/** "sha256-HEX": the tag under which registries without the referrers API list what refers to a digest (distribution-spec, "Referrers Tag Schema"). */
export function referrersTag({ algorithm, hex }: Digest): string {
  return `${algorithm}-${hex.slice(0, 64)}`;
}

/** cosign's tag for the signatures of a digest. */
export function cosignTag(digest: Digest): string {
  return `${referrersTag(digest)}.sig`;
}

/** "sha256:0123456789ab…" */
export function shortDigest(digest: Digest): string {
  return `${formatDigest(digest).slice(0, digest.algorithm.length + 13)}…`;
}

/** Adds the signatures that the manifest `json` holds; `blob` reads a layer. Throws what `blob` throws. */
export async function collectFromManifest(
  json: string,
  blob: (descriptor: Descriptor) => Promise<Uint8Array>,
  collector: SignatureCollector,
): Promise<void> {
  for (const layer of layersOf(json, collector)) {
    if (layer.size > SIGNATURE_LIMITS.document) {
      collector.drop(`it has ${layer.size} bytes`);
      continue;
    }
    const content = await blob(layer);
    requireDigest(
      `the signature ${shortDigest(layer.digest)}`,
      digestOfBytes(layer.digest.algorithm, content),
      layer.digest,
    );
    collector.add(documentOf(layer, content));
  }
}

/** None for a manifest that cannot be read: it is one signature fewer, and no reason to stop. */
function layersOf(json: string, collector: SignatureCollector): readonly Descriptor[] {
  try {
    return parseManifest(json)
      .layers.filter(({ mediaType }) => isBundleType(mediaType) || mediaType === COSIGN_PAYLOAD)
      .slice(0, SIGNATURE_LIMITS.documents);
  } catch (error) {
    if (!(error instanceof RktError)) throw error;
    collector.drop(error.message);
    return [];
  }
}

function documentOf(layer: Descriptor, content: Uint8Array): SignatureDocument {
  if (layer.mediaType !== COSIGN_PAYLOAD) return { kind: "bundle", content };
  const annotation = (name: string) => layer.annotations.find((one) => one.name === name)?.value;
  return {
    kind: "cosign",
    content,
    signature: annotation("dev.cosignproject.cosign/signature") ?? "",
    certificate: annotation("dev.sigstore.cosign/certificate"),
    chain: annotation("dev.sigstore.cosign/chain"),
    logEntry: annotation("dev.sigstore.cosign/bundle"),
    timestamp: annotation("dev.sigstore.cosign/rfc3161timestamp"),
  };
}
