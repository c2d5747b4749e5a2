import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
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
import { readFileBeneath, removeFileBeneath, replaceFileBeneath } from "./beneath.ts";
import { linux } from "./linux.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-beneath-"));
  mkdirSync(join(root, "d"));
  mkdirSync(join(root, "outside"));
  writeFileSync(join(root, "outside/secret"), "secret");
  symlinkSync("../outside/secret", join(root, "d/link"));
  symlinkSync("outside", join(root, "dirlink"));
});
afterAll(() => rmSync(root, { recursive: true }));

describe("files beneath a directory", () => {
  test("are replaced as a whole, with the exact mode, and nothing is left over", () => {
    replaceFileBeneath(linux, root, "d/record", "one", 0o660);
    replaceFileBeneath(linux, root, "d/record", "two", 0o660);
    expect(readFileSync(join(root, "d/record"), "utf8")).toBe("two");
    expect(statSync(join(root, "d/record")).mode & 0o7777).toBe(0o660);
    expect(readdirSync(join(root, "d")).sort()).toEqual(["link", "record"]);
  });

  test("a link is replaced, never written through", () => {
    symlinkSync("../outside/secret", join(root, "d/planted"));
    replaceFileBeneath(linux, root, "d/planted", "mine", 0o600);
    expect(readFileSync(join(root, "outside/secret"), "utf8")).toBe("secret");
  });

  test("a link is not read through, wherever it is on the way", () => {
    expect(() => readFileBeneath(linux, root, "d/link", 100)).toThrow("ELOOP");
    expect(() => readFileBeneath(linux, root, "dirlink/secret", 100)).toThrow("ELOOP");
    expect(() => replaceFileBeneath(linux, root, "dirlink/new", "x", 0o600)).toThrow("ENOTDIR");
    expect(() => readFileBeneath(linux, root, "d/../../etc/passwd", 100)).toThrow();
  });

  test("a missing file is undefined, a large one is refused, a FIFO neither hangs nor is read", () => {
    expect(readFileBeneath(linux, root, "d/none", 10)).toBeUndefined();
    expect(readFileBeneath(linux, root, "none/none", 10)).toBeUndefined();
    writeFileSync(join(root, "d/large"), "x".repeat(11));
    expect(() => readFileBeneath(linux, root, "d/large", 10)).toThrow("larger than 10 bytes");
    Bun.spawnSync(["mkfifo", join(root, "d/fifo")]);
    expect(() => readFileBeneath(linux, root, "d/fifo", 10)).toThrow("not a regular file");
  });

  test("removal tells whether there was one", () => {
    writeFileSync(join(root, "d/gone"), "");
    expect(removeFileBeneath(linux, root, "d/gone")).toBe(true);
    expect(removeFileBeneath(linux, root, "d/gone")).toBe(false);
    expect(removeFileBeneath(linux, root, "nowhere/gone")).toBe(false);
  });
});
