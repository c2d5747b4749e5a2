/**
 * Reading one blob: decompression, and the digest of what comes out, in one pass. The bytes were checked when they were fetched, by a process that does not
 * decide what root believes; and files change. So the content is checked again here, where it is used: the diff id (or image id, for an ACI) binds every
 * byte that is placed, whatever the stored form was. The stored form is hashed only to tell a damaged blob from a wrong image.
 */

import { createHash } from "node:crypto";
import { fstatSync } from "node:fs";
import { type Digest, formatDigest, type ImageId, imageIdFromSha512 } from "../../core/digest.ts";
import { internalError, RktError } from "../../core/errors.ts";
import { hashFile } from "../../host/hash-file.ts";
import type { Host } from "../../host/mod.ts";
import { decompress } from "./decompress.ts";

/** What a blob must be. */
export interface ExpectedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Digest of the uncompressed bytes (OCI: config.md, "rootfs.diff_ids"). */
  readonly diffId: Digest | undefined;
  /** appc: the id that the uncompressed bytes must give. */
  readonly imageId: ImageId | undefined;
}

/**
 * Reads the blob behind `fd` to its end and hands every uncompressed piece to `take`, valid during the call; the result is their sum. Throws DIGEST_MISMATCH when
 * the blob is not what it must be, even if something else failed first: damage explains every other error. Else throws what `take` or the decompression threw.
 */
export async function readBlob(
  host: Host,
  fd: number,
  expected: ExpectedBlob,
  take: (piece: Buffer) => void,
): Promise<number> {
  const actualSize = fstatSync(fd).size;
  if (actualSize !== expected.size) throw mismatch(expected, `it has ${actualSize} bytes, expected ${expected.size}`);
  const contents = contentHash(expected);
  let uncompressed = 0;
  try {
    for await (const piece of decompress(host, fd, expected.size)) {
      uncompressed += piece.length;
      contents.update(piece);
      take(piece);
    }
    contents.check();
  } catch (error) {
    requireStored(fd, expected, error);
    throw error;
  }
  return uncompressed;
}

/** Throws DIGEST_MISMATCH, with `failure` as its cause, unless the file has the stored form's digest. */
function requireStored(fd: number, expected: ExpectedBlob, failure: unknown): void {
  const hex = hashFile(fd, expected.digest.algorithm);
  if (hex === expected.digest.hex) return;
  throw mismatch(expected, `its content has ${expected.digest.algorithm}:${hex}`, failure);
}

function contentHash(expected: ExpectedBlob): { update(piece: Buffer): void; check(): void } {
  const algorithm = expected.imageId === undefined ? expected.diffId?.algorithm : "sha512";
  if (algorithm === undefined) throw internalError("a blob comes without a diff id");
  const hash = createHash(algorithm);
  return {
    update: (piece) => void hash.update(piece),
    check: () => {
      const hex = hash.digest("hex");
      if (expected.imageId !== undefined && imageIdFromSha512(hex) !== expected.imageId) {
        throw mismatch(expected, `uncompressed it is image ${imageIdFromSha512(hex)}, expected ${expected.imageId}`);
      }
      if (expected.diffId?.algorithm === algorithm && expected.diffId.hex !== hex) {
        throw new RktError(
          "DIGEST_MISMATCH",
          `Cannot use layer ${formatDigest(expected.digest)}: its content has the diff id ${algorithm}:${hex}, expected ${formatDigest(expected.diffId)}`,
        );
      }
    },
  };
}

function mismatch(expected: ExpectedBlob, how: string, cause?: unknown): RktError {
  return new RktError("DIGEST_MISMATCH", `Cannot unpack blob ${formatDigest(expected.digest)}: ${how}`, {
    hint: "the stored blob is damaged; remove the image and fetch it again",
    ...(cause === undefined ? {} : { cause }),
  });
}
