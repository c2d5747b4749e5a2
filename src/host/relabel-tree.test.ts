import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { RESOLVE } from "./constants.ts";
import { errnoNumber, SystemCallError } from "./errno.ts";
import type { Host, HostPath } from "./host.ts";
import { linux } from "./linux.ts";
import { relabelTree } from "./relabel-tree.ts";

const CONTEXT = "u:object_r:t:s0:c1,c2";

describe("relabelTree", () => {
  let dir: string;
  let labelled: string[];
  /** The real file system, but for the attributes, which take root. */
  const host: Host = {
    ...linux,
    lsetxattr: (path: HostPath, name, value) => {
      const text = Buffer.from(path as Uint8Array).toString("utf8");
      const [, fd = "", rest = ""] = /^\/proc\/self\/fd\/(\d+)\/(.*)$/.exec(text) ?? [];
      labelled.push(join(readlinkSync(`/proc/self/fd/${fd}`), rest).slice(dir.length));
      expect([name, Buffer.from(value).toString("latin1")]).toEqual(["security.selinux", `${CONTEXT}\0`]);
    },
    fsetxattr: (fd) => void labelled.push(basename(readlinkSync(`/proc/self/fd/${fd}`))),
  };
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "rkt-relabel-"));
    labelled = [];
    mkdirSync(join(dir, "tree/deep/deeper"), { recursive: true });
    mkdirSync(join(dir, "outside"));
    writeFileSync(join(dir, "outside/file"), "");
    writeFileSync(join(dir, "tree/deep/deeper/file"), "");
    symlinkSync("../outside", join(dir, "tree/link"));
    symlinkSync("/etc/passwd", join(dir, "tree/deep/file"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  test("labels the tree, links themselves and not where they lead", () => {
    relabelTree(host, join(dir, "tree"), CONTEXT);
    expect(labelled.sort()).toEqual(
      ["/tree", "/tree/deep", "/tree/deep/deeper", "/tree/deep/deeper/file", "/tree/deep/file", "/tree/link"].sort(),
    );
  });

  test("a single file; a link that the operator gives is followed", () => {
    relabelTree(host, join(dir, "outside/file"), CONTEXT);
    symlinkSync("outside/file", join(dir, "given"));
    linkSync(join(dir, "outside/file"), join(dir, "outside/same"));
    relabelTree(host, join(dir, "given"), CONTEXT);
    expect(labelled).toEqual(["file", "file"]);
  });

  test("what is mounted in the tree stays as it is", () => {
    const openat2: Host["openat2"] = (directory, name, flags, mode, resolve) => {
      expect(resolve & RESOLVE.NO_XDEV).not.toBe(0);
      if (String(name) === "deeper") throw new SystemCallError("openat2", errnoNumber("EXDEV"), "deeper");
      return linux.openat2(directory, name, flags, mode, resolve);
    };
    relabelTree({ ...host, openat2 }, join(dir, "tree"), CONTEXT);
    expect(labelled.sort()).toEqual(["/tree", "/tree/deep", "/tree/deep/file", "/tree/link"].sort());
  });

  test("what cannot be labelled is told apart", () => {
    const failing = (errno: string): Host => ({
      ...linux,
      lsetxattr: () => {
        throw new SystemCallError("lsetxattr", errnoNumber(errno), "x");
      },
    });
    expect(() => relabelTree(failing("EOPNOTSUPP"), dir, CONTEXT)).toThrow("does not keep SELinux labels");
    expect(() => relabelTree(failing("EINVAL"), dir, CONTEXT)).toThrow("the policy does not know");
    expect(() => relabelTree(host, join(dir, "nothing"), CONTEXT)).toThrow("no such file or directory");
    expect(() => relabelTree(host, "/dev/null", CONTEXT)).toThrow("neither a directory nor a file");
  });
});
