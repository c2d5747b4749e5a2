/** Who signed an image, in a few words for a table. */

import type { Engine } from "../core/engine.ts";
import type { StoredImage } from "../core/spine.ts";

/** Who signed the images of the store, as far as the caller may see root's record. */
export async function imageSigners({ dataDir }: Engine): Promise<(imageId: string) => string | undefined> {
  const { findImageById } = await import("../store/find-image.ts");
  return (imageId) => {
    try {
      const image = findImageById(dataDir, imageId);
      return image === undefined ? undefined : signerText(image) || undefined;
    } catch {
      // A store that cannot be read, or an id that is none: a pod's status does not depend on it.
      return undefined;
    }
  };
}

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
