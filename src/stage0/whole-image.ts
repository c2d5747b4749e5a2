/** Images of the store whose blobs are damaged: found before they are used where that is cheap, and cleared so that the next fetch brings them again. */

import { formatDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { StoredImage } from "../core/spine.ts";
import { printable } from "../core/text.ts";
import { findRenderedTree } from "../render/mod.ts";
import { missingBlobs } from "../store/mod.ts";

/**
 * True when the image can be used: it is unpacked, or all blobs are there with their sizes. Otherwise false, with a notice, when it can be fetched again, and else NOT_FOUND, which
 * names what is missing.
 */
export function isWhole(engine: Engine, image: StoredImage, refetchable: boolean): boolean {
  // A start from an unpacked image needs no blob, and pays for no look at them.
  if (process.geteuid?.() === 0 && findRenderedTree(engine.dataDir, image.id) !== undefined) return true;
  const [first, ...others] = missingBlobs(engine.dataDir, image, engine);
  if (first === undefined) return true;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  const what = `image ${image.id}: blob ${formatDigest(first)}${more} is missing or has another size`;
  if (!refetchable) throw new RktError("NOT_FOUND", `Cannot use ${what}`, { hint: howToMend(image) });
  engine.emit({ kind: "warning", text: `not using ${what}; fetching it again` });
  return false;
}

/**
 * Runs `unpack`. When a blob turns out not to be what its digest says, every such blob of the image is removed: a fetch takes what is there for what it is called. When all of them
 * are, the image contradicts itself (its configuration has other diff ids than its layers), which can only come out now when it was fetched to be unpacked at once: it is
 * removed, like one that was refused while it was fetched.
 */
export async function clearingWrongBlobs<T>(engine: Engine, image: StoredImage, unpack: () => Promise<T>): Promise<T> {
  try {
    return await unpack();
  } catch (error) {
    if (!(error instanceof RktError) || error.code !== "DIGEST_MISMATCH") throw error;
    const [{ removeWrongBlob }, { blobsOf }] = await Promise.all([
      import("../store/check-blobs.ts"),
      import("../store/record.ts"),
    ]);
    const removed = blobsOf(image).filter((blob) => removeWrongBlob(engine.dataDir, blob, engine)).length;
    if (removed === 0) {
      if (image.format === "oci") (await import("../store/remove-image.ts")).removeImage(engine.dataDir, image, engine);
      throw error;
    }
    throw new RktError(error.code, error.message, { hint: howToMend(image), cause: error });
  }
}

function howToMend({ origin }: StoredImage): string {
  return `bring it again with rkt fsck --repair, or with rkt fetch ${printable(origin)}`;
}
