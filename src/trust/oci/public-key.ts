/** Bare public keys, as cosign makes them, and the signatures that they check. Runs in the verify worker only: node:crypto does the work. */

import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { RktError } from "../../core/errors.ts";

export interface PublicKey {
  readonly key: KeyObject;
  /** Digests that a signature by such a key may be over; null: the algorithm has its own. */
  readonly digests: readonly (string | null)[];
  /** "ECDSA P-256". */
  readonly description: string;
}

const CURVES: Readonly<Record<string, { name: string; digests: readonly string[] }>> = {
  prime256v1: { name: "P-256", digests: ["sha256"] },
  secp384r1: { name: "P-384", digests: ["sha384", "sha256"] },
  secp521r1: { name: "P-521", digests: ["sha512", "sha256"] },
};

const RSA_BITS = { least: 2048, most: 8192 };

/** Takes a SubjectPublicKeyInfo (DER). Throws INVALID_INPUT for what is none, UNSUPPORTED for keys that are too weak or unusual. */
export function publicKey(der: Buffer): PublicKey {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "Cannot read the key: expected a public key in PEM form", { cause });
  }
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return { key, digests: [null], description: "Ed25519" };
    case "ec": {
      const curve = Object.hasOwn(CURVES, namedCurve) ? CURVES[namedCurve] : undefined;
      if (curve === undefined) break;
      return { key, digests: curve.digests, description: `ECDSA ${curve.name}` };
    }
    case "rsa":
      if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most) {
        throw new RktError(
          "UNSUPPORTED",
          `Cannot use the key: RSA with ${modulusLength} bits, expected ${RSA_BITS.least} to ${RSA_BITS.most}`,
        );
      }
      return { key, digests: ["sha256", "sha384", "sha512"], description: `RSA ${modulusLength}` };
  }
  throw new RktError("UNSUPPORTED", "Cannot use the key: expected ECDSA (P-256, P-384, P-521), RSA or Ed25519");
}

/** Whether `signature` is the key's over `data`. SHA-1 is in no list, so no signature over it is ever good. */
export function isSignedBy({ key, digests }: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  return digests.some((digest) => {
    try {
      return verify(digest, data, key, signature);
    } catch {
      // A signature of another form than the key's.
      return false;
    }
  });
}
