/**
 * Decompression, by streams only: memory stays flat, concatenated members are all read, and an early end is an error. The form is told by the first bytes,
 * because media types of real images are wrong often enough.
 */

import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { followZstdFrames } from "../../core/zstd-frames.ts";

export type Compression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];

/** Large pieces: each one crosses from a pool thread to the main thread. */
const PIECE = 256 * 1024;

/** The largest zstd window, as a power of two: 32 MiB keeps the memory of a hostile stream bounded; `zstd -19` writes 8 MiB. */
const LARGEST_WINDOW = 25;

/** The compression of a stream that begins with `bytes`. */
export function sniffCompression(bytes: Uint8Array): Compression {
  if (isSkippableZstd(bytes)) return "zstd";
  return MAGICS.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte))?.[0] ?? "none";
}

/** A zstd stream may open with a skippable frame (as "zstd:chunked" tools write them). */
function isSkippableZstd(bytes: Uint8Array): boolean {
  const [first = 0, second, third, fourth] = bytes;
  return (first & 0xf0) === 0x50 && second === 0x2a && third === 0x4d && fourth === 0x18;
}

/**
 * The uncompressed bytes of `chunks`. gzip and zstd run in a pool thread, so the caller works on one piece while the next is made. Throws INVALID_INPUT for a
 * malformed or truncated stream, HOST_PROGRAM where xz or bzip2 is needed and missing.
 */
export async function* decompress(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.iterator]();
  const first = iterator.next();
  if (first.done === true) return;
  const all = function* () {
    yield first.value;
    yield* { [Symbol.iterator]: () => iterator };
  };
  switch (sniffCompression(first.value)) {
    case "none":
      yield* all();
      return;
    case "gzip":
      yield* throughZlib(all(), createGunzip({ chunkSize: PIECE }));
      return;
    case "zstd":
      yield* zstd(all());
      return;
    case "xz":
      yield* throughProgram(all(), "xz");
      return;
    case "bzip2":
      yield* throughProgram(all(), "bzip2");
  }
}

async function* zstd(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = followZstdFrames("the archive");
  const watched = function* () {
    for (const chunk of chunks) {
      frames.feed(chunk);
      yield chunk;
    }
  };
  const params = { [constants.ZSTD_d_windowLogMax]: LARGEST_WINDOW };
  yield* throughZlib(watched(), createZstdDecompress({ chunkSize: PIECE, params }));
  frames.finish();
}

async function* throughZlib(chunks: Iterable<Buffer>, stage: ReturnType<typeof createGunzip>): AsyncGenerator<Buffer> {
  const source = Readable.from(chunks, { highWaterMark: 2 });
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

async function* throughProgram(chunks: Iterable<Buffer>, program: "xz" | "bzip2"): AsyncGenerator<Buffer> {
  const child = spawn(program, ["-dc"], { stdio: ["pipe", "pipe", "pipe"] });
  const words: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => {
    if (words.length < 16) words.push(chunk.toString("utf8"));
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  ended.catch(() => {});
  // A program that gives up early closes its end; its status says why.
  child.stdin.on("error", () => {});
  const source = Readable.from(chunks, { highWaterMark: 2 });
  source.once("error", () => child.kill("SIGKILL"));
  source.pipe(child.stdin);
  try {
    for await (const piece of child.stdout) yield piece as Buffer;
    const status = await ended.catch((cause: unknown) => {
      throw new RktError("HOST_PROGRAM", `Cannot decompress the archive: cannot start "${program}"`, {
        cause,
        hint: `install ${program === "xz" ? "xz-utils" : "bzip2"}`,
      });
    });
    if (status !== 0) {
      throw new RktError("INVALID_INPUT", `Cannot decompress the archive: ${printable(words.join("").trim(), 300)}`);
    }
  } finally {
    source.destroy();
    child.kill("SIGKILL");
  }
}
