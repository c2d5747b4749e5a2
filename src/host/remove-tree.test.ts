import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AT_FDCWD, linux, O } from "./mod.ts";
import { removeTree } from "./remove-tree.ts";

let base = "";
let fd = -1;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-remove-"));
  fd = linux.openat(AT_FDCWD, base, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
});
afterEach(() => {
  linux.close(fd);
  spawnSync("rm", ["-rf", base]);
});

describe("removeTree()", () => {
  test("removes files, directories, odd names; what is missing is no error", () => {
    mkdirSync(join(base, "t/a/b"), { recursive: true });
    writeFileSync(Buffer.concat([Buffer.from(`${base}/t/a/`), Buffer.from([0xff, 0xfe])]), "x");
    writeFileSync(join(base, "t/a/b/file"), "x");
    removeTree(linux, fd, "t");
    expect(existsSync(join(base, "t"))).toBe(false);
    removeTree(linux, fd, "t");
    writeFileSync(join(base, "file"), "x");
    removeTree(linux, fd, "file");
    expect(existsSync(join(base, "file"))).toBe(false);
  });

  test("removes a symbolic link and not what it names", () => {
    mkdirSync(join(base, "outside"));
    writeFileSync(join(base, "outside/keep"), "kept");
    mkdirSync(join(base, "t"));
    symlinkSync("../outside", join(base, "t/link"));
    removeTree(linux, fd, "t");
    symlinkSync("outside", join(base, "t"));
    removeTree(linux, fd, "t");
    expect(readFileSync(join(base, "outside/keep"), "utf8")).toBe("kept");
  });

  test("enters directories that their owner closed", () => {
    mkdirSync(join(base, "t/closed/in"), { recursive: true });
    writeFileSync(join(base, "t/closed/in/file"), "x");
    chmodSync(join(base, "t/closed/in"), 0o500);
    chmodSync(join(base, "t/closed"), 0);
    removeTree(linux, fd, "t");
    expect(existsSync(join(base, "t"))).toBe(false);
  });

  test("removes a tree deeper than any path or descriptor table", () => {
    let current = linux.openat(AT_FDCWD, base, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
    for (let depth = 0; depth < 6000; depth += 1) {
      const name = depth === 0 ? "t" : "d";
      linux.mkdirat(current, name, 0o755);
      const next = linux.openat(current, name, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
      linux.close(current);
      current = next;
    }
    linux.close(current);
    removeTree(linux, fd, "t");
    expect(existsSync(join(base, "t"))).toBe(false);
  });

  test("refuses names that are paths", () => {
    for (const name of ["", ".", "..", "a/b"]) expect(() => removeTree(linux, fd, name)).toThrow("expected one name");
  });
});
