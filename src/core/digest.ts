/** Content digests as parsed types: a bare string never names content. */

import { RktError } from "./errors.ts";
import { quoted } from "./text.ts";

export type DigestAlgorithm = "sha256" | "sha512";

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };

/** A digest `algorithm:hex` as in the OCI image specification (descriptor.md, "Digests"). Made by {@link parseDigest} only. */
export interface Digest {
  readonly algorithm: DigestAlgorithm;
  /** Lower-case, full length. */
  readonly hex: string;
}

/** Parses `sha256:…` or `sha512:…`. Throws INVALID_INPUT. */
export function parseDigest(text: string): Digest {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(text);
  const algorithm = match?.[1] as DigestAlgorithm | undefined;
  const hex = match?.[2];
  if (algorithm === undefined || hex === undefined || hex.length !== HEX_LENGTH[algorithm]) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use ${quoted(text)} as a digest: expected "sha256:" and 64 or "sha512:" and 128 hexadecimal digits`,
    );
  }
  return { algorithm, hex };
}

export function formatDigest(digest: Digest): string {
  return `${digest.algorithm}:${digest.hex}`;
}

export function sameDigest(a: Digest, b: Digest): boolean {
  return a.algorithm === b.algorithm && a.hex === b.hex;
}

/**
 * An image's id in rkt's vocabulary: `sha512-` and the first 64 hex digits (half) of a SHA-512, of the uncompressed ACI for an App Container image, of
 * the manifest's bytes for an OCI image. Branded, so that only {@link parseImageId} and {@link imageIdFromSha512} make one.
 */
export type ImageId = string & { readonly imageId: unique symbol };

const IMAGE_ID = /^sha512-[0-9a-f]{64}$/;

export function isImageId(text: string): text is ImageId {
  return IMAGE_ID.test(text);
}

/** Parses a full id. A 128-digit form (the whole digest) is accepted and cut, as rkt 1.x did. Throws INVALID_INPUT. */
export function parseImageId(text: string): ImageId {
  const cut = /^sha512-[0-9a-f]{128}$/.test(text) ? text.slice(0, "sha512-".length + 64) : text;
  if (!isImageId(cut)) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use ${quoted(text)} as an image id: expected "sha512-" and 64 hexadecimal digits`,
    );
  }
  return cut;
}

/** The id of an image whose SHA-512 is `hex` (128 digits). */
export function imageIdFromSha512(hex: string): ImageId {
  return parseImageId(`sha512-${hex.slice(0, 64)}`);
}
