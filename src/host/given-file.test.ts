import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGivenFile } from "./given-file.ts";

test("a file, a pipe, neither of them larger than allowed", () => {
  const dir = mkdtempSync(join(tmpdir(), "rkt-given-"));
  try {
    const [file, pipe] = [join(dir, "file"), join(dir, "pipe")];
    writeFileSync(file, "x".repeat(100_000));
    expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
    const through = (limit: number) => {
      const writer = Bun.spawn(["sh", "-c", 'exec cat "$0" > "$1"', file, pipe], { stderr: "ignore" });
      try {
        return readGivenFile(pipe, limit);
      } finally {
        writer.kill();
      }
    };
    expect(readGivenFile(file, 100_000)).toHaveLength(100_000);
    expect(through(100_000)).toHaveLength(100_000);
    expect(() => readGivenFile(file, 99_999)).toThrow("larger than 99999 bytes");
    expect(() => through(99_999)).toThrow("larger than 99999 bytes");
    expect(() => readGivenFile(dir, 10)).toThrow("EISDIR");
    expect(() => readGivenFile(join(dir, "none"), 10)).toThrow("ENOENT");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
