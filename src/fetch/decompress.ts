/** Decompression while the bytes pass by: fed by whoever downloads, results go to a callback, nothing is kept. Runs in the fetch worker only. */

import { once } from "node:events";
import type { Duplex, Transform } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { type Compression, detectCompression } from "../core/compression.ts";
import { RktError } from "../core/errors.ts";
import { followZstdFrames } from "../core/zstd-frames.ts";
import { PACKAGES, PIECE, programFor, WORTH_A_PROGRAM } from "../host/decompress-program.ts";
import { throughProgram } from "./decompress-program.ts";

export interface Decompressor {
  /** Takes compressed bytes; resolves when there is room for more. `chunk` may be used again only after the next call has resolved. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when everything was delivered. Throws INVALID_INPUT when the stream is damaged or cut off. */
  end(): Promise<void>;
  /** Gives up. */
  destroy(): void;
}

/** A decompressor that finds out the compression by itself. `onData` gets each piece of the uncompressed content, at once; it is valid during the call. */
export function decompressor(onData: (chunk: Uint8Array) => void): Decompressor {
  let inner: Decompressor | undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  const begin = async () => {
    const start = Buffer.concat(chunks.splice(0));
    inner = decompressorFor(detectCompression(start), length, onData);
    await inner.write(start);
  };
  return {
    async write(chunk) {
      if (inner !== undefined) return inner.write(chunk);
      chunks.push(Buffer.from(chunk));
      length += chunk.length;
      if (length >= WORTH_A_PROGRAM) await begin();
    },
    async end() {
      if (inner === undefined) await begin();
      await inner?.end();
    },
    destroy: () => inner?.destroy(),
  };
}

function decompressorFor(form: Compression, size: number, onData: (chunk: Uint8Array) => void): Decompressor {
  if (form === "none") return { write: async (chunk) => onData(chunk), end: async () => {}, destroy: () => {} };
  const program = programFor(form, size);
  if (program !== undefined) return throughProgram(form, program, onData);
  if (form === "gzip") return throughStream(form, createGunzip({ chunkSize: PIECE }), onData);
  if (form === "zstd") return zstd(onData);
  throw new RktError("HOST_PROGRAM", `Cannot decompress the image: the program "${form}" is missing`, {
    hint: `install ${PACKAGES[form]}`,
  });
}

function zstd(onData: (chunk: Uint8Array) => void): Decompressor {
  const params = { [constants.ZSTD_d_windowLogMax]: 25 };
  const stream = throughStream("zstd", createZstdDecompress({ chunkSize: PIECE, params }), onData);
  const frames = followZstdFrames();
  return {
    async write(chunk) {
      frames.feed(chunk);
      await stream.write(chunk);
    },
    async end() {
      frames.finish();
      await stream.end();
    },
    destroy: stream.destroy,
  };
}

/** One chunk is on its way through the thread pool while the caller hashes and stores the next. */
function throughStream(name: string, stream: Transform | Duplex, onData: (chunk: Uint8Array) => void): Decompressor {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  stream.on("error", (cause) => failed.reject(damaged(name, cause)));
  stream.on("data", onData);
  const ended = once(stream, "end");
  ended.catch(() => {});
  let previous: Promise<void> = Promise.resolve();
  return {
    async write(chunk) {
      await Promise.race([previous, failed.promise]);
      const { promise, resolve } = Promise.withResolvers<void>();
      stream.write(chunk, () => resolve());
      previous = promise;
    },
    async end() {
      await Promise.race([previous, failed.promise]);
      stream.end();
      await Promise.race([ended, failed.promise]);
    },
    destroy: () => void stream.destroy(),
  };
}

function damaged(name: string, cause: unknown): RktError {
  const reason = cause instanceof Error ? cause.message : "the stream is damaged or cut off";
  return new RktError("INVALID_INPUT", `Cannot decompress a ${name} stream: ${reason}`, { cause });
}
