import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { detectCompression } from "../../core/compression.ts";
import { childrenOf } from "../../host/child-processes.ts";
import { findDecompressProgram } from "../../host/decompress-program.ts";
import { linux } from "../../host/mod.ts";
import { decompress } from "./decompress.ts";

const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) >> 7));
const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
/** A stated size for which a stream, or a program, is chosen. */
const [SMALL, LARGE] = [1, 1 << 30];

let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "rkt-decompress-"));
  // The first child and the first stream of a process make the runtime open descriptors that it keeps.
  for (const size of [LARGE, SMALL]) await plain(gzipSync(CONTENT), size);
});
afterAll(() => rmSync(directory, { recursive: true }));

async function plain(stored: Buffer, size: number): Promise<Buffer> {
  const path = join(directory, "blob");
  writeFileSync(path, stored);
  const fd = openSync(path, "r");
  const pieces: Buffer[] = [];
  try {
    for await (const piece of decompress(linux, fd, size)) pieces.push(Buffer.from(piece));
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(pieces);
}

function compressed(program: string): Buffer {
  return spawnSync(program, ["-c"], { input: CONTENT }).stdout;
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
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
  test.each(forms)("reads %s, by a program and by a stream", async (_name, stored, expected) => {
    const before = openDescriptors();
    expect((await plain(stored, LARGE)).equals(expected)).toBe(true);
    expect((await plain(stored, SMALL)).equals(expected)).toBe(true);
    expect(openDescriptors()).toBe(before);
  });

  const whole = forms.filter(([name]) => name !== "none" && name !== "nothing");
  test.each(whole)("refuses %s that ends early", async (_name, stored) => {
    for (const size of [SMALL, LARGE]) {
      for (const cut of [1, 4, 9, Math.floor(stored.length / 2) + 3]) {
        const message = await plain(stored.subarray(0, stored.length - cut), size).then(
          () => "accepted",
          (error: Error) => error.message,
        );
        expect(message).toStartWith("Cannot decompress the archive: ");
      }
    }
  });

  test.each([SMALL, LARGE])("refuses damage (stated size %p)", async (size) => {
    const damaged = Buffer.from(gzip);
    damaged.fill(0x55, 4000, 4020);
    for (const stored of [damaged, ...[gzip, zstd].map((form) => Buffer.concat([form, Buffer.from("garbage")]))]) {
      await expect(plain(stored, size)).rejects.toThrow("Cannot decompress the archive");
    }
  });

  test("an early end by a program is called one", async () => {
    await expect(plain(gzip.subarray(0, 5000), LARGE)).rejects.toThrow("the stream ends early (truncated)");
  });

  test("ends the program when its consumer stops", async () => {
    const path = join(directory, "long");
    writeFileSync(path, gzipSync(Buffer.alloc(64 << 20)));
    const fd = openSync(path, "r");
    const before = openDescriptors();
    for await (const _ of decompress(linux, fd, LARGE)) break;
    expect(openDescriptors()).toBe(before);
    closeSync(fd);
    const names = childrenOf(process.pid).map((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim());
    expect(names).not.toContain("gzip");
  });
});

test("findDecompressProgram() finds what every Debian has", () => {
  expect(findDecompressProgram("gzip")?.path).toMatch(/^\/(usr\/)?bin\/gzip$/);
});

test("detectCompression() goes by content", () => {
  expect(detectCompression(Buffer.from("BZh9"))).toBe("bzip2");
  expect(detectCompression(SKIPPABLE)).toBe("zstd");
  expect(detectCompression(Buffer.from("./usr"))).toBe("none");
  expect(detectCompression(Buffer.from([0x1f]))).toBe("none");
});
