/** Who signed an image, in a few words for a table. */

import type { Engine } from "../core/engine.ts";
import { signerText } from "../core/signer-text.ts";

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
