/** Digests of what is small enough to be read at once. Apart from the check of layers: that loads what decompresses, which a fetch of an unchanged image does not need. */

import { type Digest, type DigestAlgorithm, formatDigest, sameDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";

/** The digest of `bytes`. */
export function digestOfBytes(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return { algorithm, hex: new Bun.CryptoHasher(algorithm).update(bytes).digest("hex") };
}

/** Throws DIGEST_MISMATCH unless `seen` is `expected`. `what` names it: "layer 3f2a…". */
export function requireDigest(what: string, seen: Digest, expected: Digest): void {
  if (sameDigest(seen, expected)) return;
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot use ${what}: its digest is ${formatDigest(seen)}, expected ${formatDigest(expected)}`,
  );
}
