/** Hashes a blob and what it decompresses to while it passes by: a layer counts only when digest, size and diff id agree. */

import { createHash, type Hash } from "node:crypto";
import { type Digest, type DigestAlgorithm, formatDigest, sameDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { type Decompressor, decompressor } from "./decompress.ts";
import { requireDigest } from "./document-digest.ts";

export interface ContentCheck {
  /** Takes the next bytes. `chunk` may be used again only after the next call has resolved. */
  feed(chunk: Uint8Array): Promise<void>;
  /** Resolves with what was seen. */
  finish(): Promise<SeenContent>;
  destroy(): void;
}

export interface SeenContent {
  readonly digest: Digest;
  readonly size: number;
  /** Undefined when no diff id was asked for. */
  readonly diffId: Digest | undefined;
  /** Bytes after decompression. */
  readonly uncompressedSize: number;
  /** Why the content could not be decompressed: of interest only when the digest is right. */
  readonly damage: unknown;
}

/** `diffAlgorithm` undefined: the content is not decompressed. `onContent` gets the decompressed bytes (valid during the call). */
export function contentCheck(
  algorithm: DigestAlgorithm,
  diffAlgorithm: DigestAlgorithm | undefined,
  onContent?: (chunk: Uint8Array) => void,
): ContentCheck {
  const hash = createHash(algorithm);
  const diffHash = diffAlgorithm === undefined ? undefined : createHash(diffAlgorithm);
  let size = 0;
  let uncompressedSize = 0;
  let inner: Decompressor | undefined =
    diffHash === undefined
      ? undefined
      : decompressor((chunk) => {
          diffHash.update(chunk);
          uncompressedSize += chunk.length;
          onContent?.(chunk);
        });
  let damage: unknown;
  // A stream that cannot be decompressed is hashed to its end all the same: "the server sent something else" and "the image is broken" are different news.
  const guarded = async (step: (inner: Decompressor) => Promise<void>) => {
    if (inner === undefined) return;
    try {
      await step(inner);
    } catch (error) {
      damage = error;
      inner.destroy();
      inner = undefined;
    }
  };
  return {
    async feed(chunk) {
      hash.update(chunk);
      size += chunk.length;
      await guarded((to) => to.write(chunk));
    },
    async finish() {
      await guarded((to) => to.end());
      return {
        digest: digestOf(algorithm, hash),
        size,
        diffId: diffAlgorithm === undefined || diffHash === undefined ? undefined : digestOf(diffAlgorithm, diffHash),
        uncompressedSize,
        damage,
      };
    },
    destroy: () => inner?.destroy(),
  };
}

/** Throws what is wrong with a layer: its digest, its compression, its diff id, in this order. */
export function requireLayer(what: string, seen: SeenContent, expected: Digest, diffId: Digest | undefined): void {
  requireDigest(what, seen.digest, expected);
  if (seen.damage !== undefined) throw seen.damage;
  if (diffId !== undefined && seen.diffId !== undefined && !sameDigest(seen.diffId, diffId)) {
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot use ${what}: its content has the diff id ${formatDigest(seen.diffId)}, expected ${formatDigest(diffId)}`,
    );
  }
}

function digestOf(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return { algorithm, hex: hash.digest("hex") };
}
