/** Decompression while the bytes pass by: fed by whoever downloads, results go to a callback, nothing is kept. Runs in the fetch worker only. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Duplex, Transform } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { RktError } from "../core/errors.ts";
import { followZstdFrames } from "../core/zstd-frames.ts";

export type Compression = "gzip" | "zstd" | "bzip2" | "xz" | "none";

export interface Decompressor {
  /** Takes compressed bytes; resolves when there is room for more. `chunk` may be used again only after the next call has resolved. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when everything was delivered. Throws INVALID_INPUT when the stream is damaged or cut off. */
  end(): Promise<void>;
  /** Gives up. */
  destroy(): void;
}

/** Bytes that {@link detectCompression} wants to see. */
export const MAGIC_LENGTH = 6;

/** The compression of a stream by its first bytes. Media types and file names lie; content does not. */
export function detectCompression(start: Uint8Array): Compression {
  const startsWith = (...bytes: number[]) =>
    start.length >= bytes.length && bytes.every((byte, at) => start[at] === byte);
  if (startsWith(0x1f, 0x8b)) return "gzip";
  if (startsWith(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  // A skippable frame may come first (zstd:chunked, pzstd).
  if (
    start.length >= 4 &&
    ((start[0] ?? 0) & 0xf0) === 0x50 &&
    start[1] === 0x2a &&
    start[2] === 0x4d &&
    start[3] === 0x18
  )
    return "zstd";
  if (startsWith(0x42, 0x5a, 0x68)) return "bzip2";
  if (startsWith(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return "xz";
  return "none";
}

/** A decompressor that finds out the compression by itself. `onData` gets each piece of the uncompressed content, at once. */
export function decompressor(onData: (chunk: Uint8Array) => void): Decompressor {
  let inner: Decompressor | undefined;
  let start = Buffer.alloc(0);
  const begin = async () => {
    inner = decompressorFor(detectCompression(start), onData);
    await inner.write(start);
  };
  return {
    async write(chunk) {
      if (inner !== undefined) return inner.write(chunk);
      start = Buffer.concat([start, chunk]);
      if (start.length >= MAGIC_LENGTH) await begin();
    },
    async end() {
      if (inner === undefined) await begin();
      await inner?.end();
    },
    destroy: () => inner?.destroy(),
  };
}

function decompressorFor(compression: Compression, onData: (chunk: Uint8Array) => void): Decompressor {
  switch (compression) {
    case "none":
      return { write: async (chunk) => onData(chunk), end: async () => {}, destroy: () => {} };
    case "gzip":
      return throughStream("gzip", createGunzip({ chunkSize: OUTPUT_CHUNK }), onData);
    case "zstd":
      return zstd(onData);
    default:
      return throughProgram(compression, onData);
  }
}

const OUTPUT_CHUNK = 256 * 1024;

function zstd(onData: (chunk: Uint8Array) => void): Decompressor {
  const params = { [constants.ZSTD_d_windowLogMax]: 25 };
  const stream = throughStream("zstd", createZstdDecompress({ chunkSize: OUTPUT_CHUNK, params }), onData);
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

/** Old ACIs come as bzip2 and xz: the host's programs read them, as user of this worker. */
function throughProgram(name: "bzip2" | "xz", onData: (chunk: Uint8Array) => void): Decompressor {
  // --memlimit: an xz stream chooses the decoder's memory (up to 4 GiB) by itself.
  const args =
    name === "xz" ? ["--decompress", "--stdout", "--memlimit-decompress=100MiB"] : ["--decompress", "--stdout"];
  const child = spawn(name, args, { stdio: ["pipe", "pipe", "ignore"] });
  const result = Promise.withResolvers<void>();
  result.promise.catch(() => {});
  child.on("error", (cause) =>
    result.reject(
      new RktError("HOST_PROGRAM", `Cannot decompress the image: the program "${name}" does not start`, {
        cause,
        hint: `install ${name}`,
      }),
    ),
  );
  child.on("close", (code) => (code === 0 ? result.resolve() : result.reject(damaged(name, undefined))));
  child.stdin.on("error", () => {}); // EPIPE: the program's status tells why.
  child.stdout.on("data", onData);
  return {
    async write(chunk) {
      // A copy: the pipe may hold the bytes longer than the caller does.
      if (child.stdin.write(Buffer.from(chunk))) return;
      await Promise.race([once(child.stdin, "drain"), result.promise]);
    },
    async end() {
      child.stdin.end();
      await result.promise;
    },
    destroy: () => void child.kill("SIGKILL"),
  };
}

function damaged(name: string, cause: unknown): RktError {
  const reason = cause instanceof Error ? cause.message : "the stream is damaged or cut off";
  return new RktError("INVALID_INPUT", `Cannot decompress a ${name} stream: ${reason}`, { cause });
}
