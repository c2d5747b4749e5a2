/**
 * Reading one blob: digest and size of what is stored, decompression, and digest of what comes out, in one pass. The bytes were checked when they were
 * fetched, by a process that does not decide what root believes; and files change. So everything is checked again here, where it is used.
 */

import { createHash } from "node:crypto";
import { fstatSync, readSync } from "node:fs";
import { type Digest, formatDigest, type ImageId, imageIdFromSha512 } from "../../core/digest.ts";
import { RktError } from "../../core/errors.ts";
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

const PIECE = 256 * 1024;

/**
 * Reads the blob behind `fd` to its end and hands every uncompressed piece to `take`; the result is their sum. Throws DIGEST_MISMATCH when the blob is not
 * what it must be, even if something else failed first: damage explains every other error. Else throws what `take` or the decompression threw.
 */
export async function readBlob(fd: number, expected: ExpectedBlob, take: (piece: Buffer) => void): Promise<number> {
  const stored = createHash(expected.digest.algorithm);
  const actualSize = fstatSync(fd).size;
  if (actualSize !== expected.size) throw mismatch(expected, `it has ${actualSize} bytes, expected ${expected.size}`);
  const chunks = blobChunks(fd, (chunk) => stored.update(chunk));
  const contents = contentHash(expected);
  let uncompressed = 0;
  let failure: unknown;
  try {
    for await (const piece of decompress(chunks)) {
      uncompressed += piece.length;
      contents.update(piece);
      take(piece);
    }
  } catch (error) {
    failure = error;
  }
  // The stream may have stopped early; the digest is of everything.
  for (const _ of blobChunks(fd, (chunk) => stored.update(chunk)));
  const digest = stored.digest("hex");
  if (digest !== expected.digest.hex)
    throw mismatch(expected, `its content has ${expected.digest.algorithm}:${digest}`, failure);
  if (failure !== undefined) throw failure;
  contents.check();
  return uncompressed;
}

/** The bytes from the descriptor's position on. Each chunk is new memory: a stream may hold on to it. */
function* blobChunks(fd: number, seen: (chunk: Buffer) => void): Generator<Buffer> {
  for (;;) {
    const chunk = Buffer.allocUnsafeSlow(PIECE);
    const length = readSync(fd, chunk, 0, PIECE, null);
    if (length === 0) return;
    const bytes = chunk.subarray(0, length);
    seen(bytes);
    yield bytes;
  }
}

function contentHash(expected: ExpectedBlob): { update(piece: Buffer): void; check(): void } {
  const algorithm = expected.imageId === undefined ? expected.diffId?.algorithm : "sha512";
  if (algorithm === undefined) return { update: () => {}, check: () => {} };
  const hash = createHash(algorithm);
  return {
    update: (piece) => void hash.update(piece),
    check: () => {
      const hex = hash.digest("hex");
      if (expected.imageId !== undefined && imageIdFromSha512(hex) !== expected.imageId) {
        throw mismatch(expected, `uncompressed it is image ${imageIdFromSha512(hex)}, expected ${expected.imageId}`);
      }
      if (expected.diffId?.algorithm === algorithm && expected.diffId.hex !== hex) {
        throw mismatch(expected, `uncompressed it has ${algorithm}:${hex}, expected ${formatDigest(expected.diffId)}`);
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
