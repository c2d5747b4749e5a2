import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { followZstdFrames } from "../core/zstd-frames.ts";
import { decompressor } from "./decompress.ts";

const first = Buffer.alloc(300_000, "a");
const second = crypto.getRandomValues(Buffer.alloc(50_000));
const both = Buffer.concat([first, second]);
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);

async function decompressed(content: Uint8Array, step: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const inner = decompressor((chunk) => chunks.push(Buffer.from(chunk)));
  try {
    for (let at = 0; at < content.length; at += step) await inner.write(content.subarray(at, at + step));
    await inner.end();
  } finally {
    inner.destroy();
  }
  return Buffer.concat(chunks);
}

describe("decompressor", () => {
  const streams: [string, Buffer][] = [
    ["plain", both],
    ["gzip of two members", Buffer.concat([gzipSync(first), gzipSync(second)])],
    ["zstd of two frames", Buffer.concat([zstdCompressSync(first), zstdCompressSync(second)])],
    [
      "zstd with skippable frames",
      Buffer.concat([skippable, zstdCompressSync(first), skippable, zstdCompressSync(second), skippable]),
    ],
  ];
  test.each(streams)("%s", async (_name, content) => {
    for (const step of [7, 4096, content.length]) expect((await decompressed(content, step)).equals(both)).toBe(true);
  });
  test("short and empty content is plain", async () => {
    expect((await decompressed(Buffer.from("abc"), 1)).toString()).toBe("abc");
    expect((await decompressed(Buffer.alloc(0), 1)).length).toBe(0);
  });
  test.each(streams.slice(1))("a cut or prolonged %s is an error", async (_name, content) => {
    for (const cut of [content.length - 1, content.length - 5, Math.floor(content.length / 2)]) {
      await expect(decompressed(content.subarray(0, cut), 1000)).rejects.toThrow("Cannot decompress");
    }
    await expect(decompressed(Buffer.concat([content, Buffer.from("garbage!")]), 1000)).rejects.toThrow(
      "Cannot decompress",
    );
  });
});

test("a frame that asks for a huge window is refused before anything is allocated", () => {
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0, 0, 0]); // window 2^30
  expect(() => followZstdFrames().feed(frame)).toThrow("needs a window of 1073741824 bytes");
});
