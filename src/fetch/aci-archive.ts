/** The archive of an App Container image on its way into the store: its digest is known only at its end. */

import { imageIdFromSha512 } from "../core/digest.ts";
import type { AciDownload } from "../core/spine.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import { blobSize, discardPart, newPart, type PartFile, publishPart, readPieces, writePart } from "./cas.ts";
import type { Job } from "./job.ts";
import { type ContentCheck, contentCheck } from "./layer-check.ts";
import { scanForManifest } from "./manifest-scan.ts";

/** The part of a download that does not depend on where it came from. */
export type Archive = Omit<AciDownload, "signature" | "origin">;

const MEDIA_TYPE = "application/aci";

/** Copies the archive open as `file` into the store. Throws INVALID_INPUT when it is no image, SYSTEM_CALL for a full disk. */
export async function fetchAciFile(job: Job, file: number, anew: boolean): Promise<Archive> {
  const part = newPart(job.cas, "aci");
  const check = aciCheck();
  try {
    let size = 0;
    for (const piece of readPieces(file, 0)) {
      writePart(part, piece, size);
      await check.feed(piece);
      size += piece.length;
    }
    return await storeArchive(job, part, await check.finish(), anew);
  } catch (error) {
    discardPart(part);
    throw error;
  } finally {
    check.destroy();
  }
}

/** Reads the archive open as `file`, and stores nothing. Throws INVALID_INPUT when it is no image. */
export async function examineAciFile(file: number): Promise<Archive> {
  const check = aciCheck();
  try {
    for (const piece of readPieces(file, 0)) await check.feed(piece);
    return await check.finish();
  } finally {
    check.destroy();
  }
}

/** Publishes a checked archive under its digest, unless the store has it; with `anew` also then, since what the store has may be damaged. */
export async function storeArchive(job: Job, part: PartFile, archive: Archive, anew: boolean): Promise<Archive> {
  if (!anew && blobSize(job.cas, archive.archive.digest) === archive.archive.size) discardPart(part);
  else await publishPart(job.cas, part, archive.archive.digest);
  return archive;
}

export interface AciCheck {
  feed: ContentCheck["feed"];
  /** Throws INVALID_INPUT when the archive is damaged or holds no usable manifest. */
  finish(): Promise<Archive>;
  destroy(): void;
}

/** One pass over the archive gives its digest, its id, its uncompressed size and its manifest. */
export function aciCheck(): AciCheck {
  const scan = scanForManifest();
  let scanError: unknown;
  const check = contentCheck("sha512", "sha512", (chunk) => {
    if (scanError !== undefined) return;
    try {
      scan.feed(chunk);
    } catch (error) {
      scanError = error; // Thrown at the end: this runs inside a stream's event, where nobody would catch it.
    }
  });
  return {
    feed: check.feed,
    destroy: check.destroy,
    async finish() {
      const seen = await check.finish();
      const problem = seen.damage ?? scanError;
      if (problem !== undefined) throw problem;
      const manifest = scan.finish();
      const { name, labels } = parseImageManifest(manifest.toString("utf8"));
      return {
        format: "aci",
        id: imageIdFromSha512(seen.diffId?.hex ?? ""),
        archive: { digest: seen.digest, size: seen.size, mediaType: MEDIA_TYPE },
        uncompressedSize: seen.uncompressedSize,
        manifest,
        name,
        labels,
      };
    },
  };
}
