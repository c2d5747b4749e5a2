/**
 * Decompression of a blob, piece by piece: memory stays flat, concatenated members are all read, and an early end is an error. The form is told by the first
 * bytes, because media types of real images are wrong often enough.
 * Programs do it where they are there (host/decompress-program.ts); the streams of node:zlib stand in for gzip and zstd.
 */

import { readSync } from "node:fs";
import { Readable } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { detectCompression, MAGIC_LENGTH } from "../../core/compression.ts";
import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { followZstdFrames } from "../../core/zstd-frames.ts";
import { PACKAGES, PIECE, programFor } from "../../host/decompress-program.ts";
import type { Host } from "../../host/mod.ts";
import { throughProgram } from "./decompress-program.ts";

/** The largest zstd window, as a power of two: 32 MiB keeps the memory of a hostile stream bounded; `zstd -19` writes 8 MiB. */
const LARGEST_WINDOW = 25;

/**
 * The uncompressed bytes of the file `fd`, which has `size` bytes; it is read from the start on and its position changes. Each piece is valid until the next one is asked
 * for. Throws INVALID_INPUT for a malformed or truncated stream, HOST_PROGRAM where xz or bzip2 is needed and missing.
 */
export async function* decompress(host: Host, fd: number, size: number): AsyncGenerator<Buffer> {
  const start = Buffer.alloc(MAGIC_LENGTH);
  const form = detectCompression(start.subarray(0, readSync(fd, start, 0, MAGIC_LENGTH, 0)));
  if (form === "none") {
    const piece = Buffer.allocUnsafeSlow(PIECE);
    yield* pieces(fd, () => piece);
    return;
  }
  const program = programFor(form, size);
  if (program !== undefined) yield* throughProgram(host, fd, program);
  else if (form === "gzip") yield* throughZlib(chunks(fd), createGunzip({ chunkSize: PIECE }));
  else if (form === "zstd") yield* zstd(chunks(fd));
  else {
    throw new RktError("HOST_PROGRAM", `Cannot decompress the archive: the program "${form}" is missing`, {
      hint: `install ${PACKAGES[form]}`,
    });
  }
}

/** A stream may hold on to what it was given, so every chunk is new memory. */
function chunks(fd: number): Generator<Buffer> {
  return pieces(fd, () => Buffer.allocUnsafeSlow(PIECE));
}

function* pieces(fd: number, memory: () => Buffer): Generator<Buffer> {
  for (let position = 0; ; ) {
    const piece = memory();
    const length = readSync(fd, piece, 0, piece.length, position);
    if (length === 0) return;
    position += length;
    yield piece.subarray(0, length);
  }
}

async function* zstd(compressed: Iterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = followZstdFrames("the archive");
  const watched = function* () {
    for (const chunk of compressed) {
      frames.feed(chunk);
      yield chunk;
    }
  };
  const params = { [constants.ZSTD_d_windowLogMax]: LARGEST_WINDOW };
  yield* throughZlib(watched(), createZstdDecompress({ chunkSize: PIECE, params }));
  frames.finish();
}

/** Runs in a pool thread, so the caller works on one piece while the next is made. */
async function* throughZlib(
  compressed: Iterable<Buffer>,
  stage: ReturnType<typeof createGunzip>,
): AsyncGenerator<Buffer> {
  const source = Readable.from(compressed, { highWaterMark: 2 });
  source.once("error", (error) => stage.destroy(error));
  source.pipe(stage);
  try {
    for await (const piece of stage) yield piece as Buffer;
  } catch (error) {
    throw error instanceof RktError ? error : malformedStream(error);
  } finally {
    source.destroy();
    stage.destroy();
  }
}

function malformedStream(error: unknown): RktError {
  const reason = error instanceof Error ? error.message : String(error);
  const early = reason.includes("unexpected end");
  return new RktError(
    "INVALID_INPUT",
    `Cannot decompress the archive: ${early ? "the stream ends early (truncated)" : printable(reason)}`,
    { cause: error },
  );
}
