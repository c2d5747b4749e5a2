import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { followZstdFrames } from "../core/zstd-frames.ts";
import { childrenOf } from "../host/child-processes.ts";
import { decompressor } from "./decompress.ts";

const first = Buffer.alloc(300_000, "a");
const second = crypto.getRandomValues(Buffer.alloc(50_000));
/** So long that a program is started for it. */
const long = Buffer.concat(Array.from({ length: 12 }, () => crypto.getRandomValues(Buffer.alloc(50_000))));
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

describe("a long stream, by a program of the host", () => {
  const compress = (program: string) => spawnSync(program, ["-c"], { input: long, maxBuffer: 1 << 24 }).stdout;
  const forms: [string, string][] = [
    ["gzip", "Cannot decompress a gzip stream"],
    ["zstd", "Cannot decompress a zstd stream"],
    ["xz", "Cannot decompress a xz stream"],
    ["bzip2", "Cannot decompress a bzip2 stream"],
  ];
  test.each(forms)("%s", async (program) => {
    for (const step of [4099, 1 << 20]) {
      expect((await decompressed(compress(program), step)).equals(long)).toBe(true);
    }
  });
  test("several at a time", async () => {
    const all = await Promise.all(forms.map(([program]) => decompressed(compress(program), 100_000)));
    expect(all.every((one) => one.equals(long))).toBe(true);
  });
  test.each(forms)("a cut or prolonged %s is an error", async (program, words) => {
    const content = compress(program);
    for (const cut of [content.length - 1, content.length - 5, 400_000]) {
      await expect(decompressed(content.subarray(0, cut), 50_000)).rejects.toThrow(words);
    }
    // bzip2 ignores what follows, with a warning.
    if (program !== "bzip2")
      await expect(decompressed(Buffer.concat([content, Buffer.from("garbage!")]), 50_000)).rejects.toThrow(words);
  });
  test("is let go of when its reader gives up: no descriptor and no process stays", async () => {
    const before = readdirSync("/proc/self/fd").length;
    const inner = decompressor(() => {});
    await inner.write(compress("gzip").subarray(0, 300_000));
    const children = () => childrenOf(process.pid);
    expect(children()).not.toEqual([]);
    inner.destroy();
    for (let left = 200; left > 0 && children().length > 0; left -= 1) await Bun.sleep(10);
    expect(children()).toEqual([]);
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });
});

test("a frame that asks for a huge window is refused before anything is allocated", () => {
  const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0, 0, 0]); // window 2^30
  expect(() => followZstdFrames().feed(frame)).toThrow("needs a window of 1073741824 bytes");
});
