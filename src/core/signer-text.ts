/** Who signed an image, in a few words: for tables, for `rkt status`, and for what is measured. */

import type { StoredImage } from "./spine.ts";

/** From root's record; "" when the caller has none. */
export function signerText({ verification }: Pick<StoredImage, "verification">): string {
  if (verification === undefined) return "";
  switch (verification.kind) {
    case "openpgp":
      return `openpgp:${verification.fingerprint}`;
    case "sigstore-key":
      return `key:${verification.fingerprint}`;
    case "sigstore-identity":
      return `${verification.identity} (${verification.issuer})`;
    case "policy":
      return "unsigned (policy.json)";
    case "builtin":
      return "part of rkt";
    case "insecure":
      return "unsigned";
  }
}
