import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { linux } from "../host/mod.ts";
import { isUntaken, writeFormat } from "./data-dir-format.ts";
import { initDataDir } from "./init-data-dir.ts";

let parent: string;
let dataDir: DataDir;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "rkt-init-"));
  dataDir = new DataDir(join(parent, "data"));
});
afterEach(() => rmSync(parent, { recursive: true }));

const mode = (path: string) => statSync(path).mode & 0o7777;

describe("initDataDir", () => {
  test("makes the layout and the format", () => {
    initDataDir(dataDir, linux);
    expect(readFileSync(dataDir.format, "utf8")).toBe("2\n");
    expect(mode(dataDir.root)).toBe(0o2750);
    expect(mode(dataDir.cas)).toBe(0o2750);
    expect(mode(dataDir.podsIn("exited-garbage"))).toBe(0o2750);
    expect(mode(dataDir.verified)).toBe(0o700);
    expect(mode(dataDir.layers)).toBe(0o700);
    expect(mode(dataDir.blobs) & 0o2700).toBe(0o2700);
  });

  test("is quiet when all is there, and completes what was left half made", () => {
    initDataDir(dataDir, linux);
    rmSync(dataDir.layers, { recursive: true });
    initDataDir(dataDir, linux);
    expect(existsSync(dataDir.layers)).toBe(false); // complete by its format: the quick way looks no further
    rmSync(dataDir.format);
    chmodSync(dataDir.verified, 0o755);
    initDataDir(dataDir, linux);
    expect(mode(dataDir.layers)).toBe(0o700);
    expect(mode(dataDir.verified)).toBe(0o700);
  });

  test("refuses a newer format, naming both numbers, and nonsense", () => {
    mkdirSync(dataDir.root);
    writeFileSync(dataDir.format, "3\n");
    expect(() => initDataDir(dataDir, linux)).toThrow("its format is 3, expected 2 or older");
    writeFileSync(dataDir.format, "two\n");
    expect(() => initDataDir(dataDir, linux)).toThrow("expected a number");
  });

  test("leaves the content of rkt 1.x alone", () => {
    mkdirSync(join(dataDir.cas, "db"), { recursive: true });
    writeFileSync(join(dataDir.cas, "db/ql.db"), "old");
    initDataDir(dataDir, linux);
    expect(readFileSync(join(dataDir.cas, "db/ql.db"), "utf8")).toBe("old");
    // Written by who has taken the images over.
    expect([existsSync(dataDir.format), isUntaken(dataDir, linux)]).toEqual([false, true]);
    writeFormat(dataDir, linux);
    expect([readFileSync(dataDir.format, "utf8"), isUntaken(dataDir, linux)]).toEqual(["2\n", false]);
  });

  test("moves away what others could write to in the place of a directory that root believes", () => {
    mkdirSync(join(dataDir.cas, "db"), { recursive: true });
    mkdirSync(dataDir.verified);
    chmodSync(dataDir.verified, 0o2770);
    writeFileSync(join(dataDir.verified, "forged.json"), "{}");
    initDataDir(dataDir, linux);
    expect(readdirSync(dataDir.verified)).toEqual(["refs"]);
    const [aside = ""] = readdirSync(dataDir.tmp);
    expect(readdirSync(join(dataDir.tmp, aside))).toEqual(["forged.json"]);
  });

  test("does not follow a link in the place of a directory", () => {
    mkdirSync(join(parent, "elsewhere"));
    mkdirSync(dataDir.root);
    symlinkSync("../elsewhere", dataDir.cas);
    expect(() => initDataDir(dataDir, linux)).toThrow();
    expect(existsSync(join(parent, "elsewhere/verified"))).toBe(false);
  });

  test("ten at once end well", async () => {
    const script = `
      import { DataDir } from ${JSON.stringify(join(import.meta.dir, "../core/data-dir.ts"))};
      import { linux } from ${JSON.stringify(join(import.meta.dir, "../host/mod.ts"))};
      import { initDataDir } from ${JSON.stringify(join(import.meta.dir, "init-data-dir.ts"))};
      initDataDir(new DataDir(${JSON.stringify(dataDir.root)}), linux);`;
    const started = Array.from({ length: 10 }, () => Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" }));
    const statuses = await Promise.all(started.map((child) => child.exited));
    expect(statuses).toEqual(statuses.map(() => 0));
    expect(mode(dataDir.cas)).toBe(0o2750);
  });
});
