import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompress, sniffCompression } from "./decompress.ts";

const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) >> 7));
const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);

async function plain(stored: Buffer, step = 5000): Promise<Buffer> {
  const chunks = function* () {
    for (let start = 0; start < stored.length; start += step) yield stored.subarray(start, start + step);
  };
  const pieces: Buffer[] = [];
  for await (const piece of decompress(chunks())) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function compressed(program: string): Buffer {
  return spawnSync(program, ["-c"], { input: CONTENT }).stdout;
}

describe("decompress()", () => {
  const gzip = gzipSync(CONTENT);
  const zstd = zstdCompressSync(CONTENT);
  const forms: [string, Buffer, Buffer][] = [
    ["none", CONTENT, CONTENT],
    ["gzip", gzip, CONTENT],
    ["two gzip members", Buffer.concat([gzip, gzip]), Buffer.concat([CONTENT, CONTENT])],
    ["zstd", zstd, CONTENT],
    ["zstd frames, some to skip", Buffer.concat([SKIPPABLE, zstd, SKIPPABLE, zstd]), Buffer.concat([CONTENT, CONTENT])],
    ["xz", compressed("xz"), CONTENT],
    ["bzip2", compressed("bzip2"), CONTENT],
    ["nothing", Buffer.alloc(0), Buffer.alloc(0)],
  ];
  test.each(forms)("reads %s", async (_name, stored, expected) => {
    expect((await plain(stored)).equals(expected)).toBe(true);
    expect((await plain(stored, 1 << 20)).equals(expected)).toBe(true);
  });

  test.each(forms.slice(1, 7))("refuses %s that ends early", async (_name, stored) => {
    for (const cut of [1, 4, 9, Math.floor(stored.length / 2) + 3]) {
      const result = plain(stored.subarray(0, stored.length - cut), 1 << 20);
      const message = await result.then(
        () => "accepted",
        (error: Error) => error.message,
      );
      expect(message).toStartWith("Cannot decompress the archive: ");
    }
  });

  test("refuses damage", async () => {
    const damaged = Buffer.from(gzip);
    damaged.fill(0x55, 4000, 4020);
    expect(plain(damaged)).rejects.toThrow("Cannot decompress the archive");
    expect(plain(Buffer.concat([zstd, Buffer.from("garbage")]))).rejects.toThrow("Cannot decompress the archive");
  });

  test("stops when its consumer does", async () => {
    let taken = 0;
    const endless = function* () {
      yield gzip;
      for (;;) {
        taken += 1;
        yield gzip;
      }
    };
    for await (const _ of decompress(endless())) break;
    expect(taken).toBeLessThan(64);
  });
});

test("sniffCompression() goes by content", () => {
  expect(sniffCompression(Buffer.from("BZh9"))).toBe("bzip2");
  expect(sniffCompression(SKIPPABLE)).toBe("zstd");
  expect(sniffCompression(Buffer.from("./usr"))).toBe("none");
  expect(sniffCompression(Buffer.from([0x1f]))).toBe("none");
});
