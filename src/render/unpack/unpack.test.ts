import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fuzzCase } from "../../../tests/harness/layer-fuzz.ts";
import { describeModel } from "../../../tests/harness/layer-model.ts";
import { type Member, tar } from "../../../tests/harness/tar-builder.ts";
import { DataDir } from "../../core/data-dir.ts";
import { parseDigest } from "../../core/digest.ts";
import { AT_FDCWD, linux, O } from "../../host/mod.ts";
import type { Lower } from "../below.ts";
import { copyTree } from "../copy-tree.ts";
import { layerLink } from "../layer-id.ts";
import { type Unpacked, unpack } from "./unpack.ts";

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
let base = "";
const descriptors: number[] = [];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "rkt-unpack-"));
});
afterEach(() => {
  for (const fd of descriptors.splice(0)) linux.close(fd);
  spawnSync("rm", ["-rf", base]);
});

function open(path: string): Lower {
  const fd = linux.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  descriptors.push(fd);
  return { path, fd };
}

const digestOf = (bytes: Buffer) => parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
const layerId = (number: number) => `sha256-${createHash("sha256").update(`${base}${number}`).digest("hex")}`;
const dataDir = () => new DataDir(base);

/** Unpacks archive number `layer` over those before; a digest may be falsified. */
async function unpackLayer(
  archive: Buffer,
  layer: number,
  change: { digest?: string; waitForBelow?: () => void } = {},
): Promise<Unpacked> {
  const blob = join(base, `blob${layer}`);
  writeFileSync(blob, archive);
  mkdirSync(dataDir().layerRootfs(layerId(layer)), { recursive: true });
  const fd = openSync(blob, "r");
  descriptors.push(fd);
  const digest = digestOf(archive);
  return await unpack(linux, {
    format: "oci",
    blob: {
      digest: change.digest === undefined ? digest : parseDigest(change.digest),
      size: archive.length,
      diffId: digest,
      imageId: undefined,
    },
    blobFd: fd,
    target: open(dataDir().layerRootfs(layerId(layer))),
    lowers: Array.from({ length: layer }, (_, index) => open(dataDir().layerRootfs(layerId(layer - 1 - index)))),
    ...(change.waitForBelow === undefined ? {} : { waitForBelow: change.waitForBelow }),
  });
}

/** How often unpacking `members` over one layer asked for that to be filled. */
async function timesWaited(...members: Member[]): Promise<number> {
  await unpackLayer(tar({ ...owner, name: "etc/", type: "5" }, { ...owner, name: "etc/old", data: "old" }), 0);
  let waited = 0;
  await unpackLayer(tar(...members.map((member) => ({ ...owner, ...member }))), 1, {
    waitForBelow: () => (waited += 1),
  });
  return waited;
}

/** The merged view of `count` layers, as a plain directory. */
function merged(count: number): string {
  const target = join(base, "merged");
  mkdirSync(target);
  const layers = Array.from({ length: count }, (_, index) => layerId(count - 1 - index));
  copyTree(linux, dataDir(), { layers: layers.map((id) => ({ layerId: id, link: layerLink(id) })) }, target);
  return target;
}

async function image(...layers: Member[][]): Promise<string> {
  for (const [index, members] of layers.entries()) {
    await unpackLayer(tar(...members.map((member) => ({ ...owner, ...member }))), index);
  }
  return merged(layers.length);
}

async function refusal(...members: Member[]): Promise<{ code: string; message: string }> {
  const error = await unpackLayer(tar(...members.map((member) => ({ ...owner, ...member }))), 0).then(
    () => ({ code: "accepted", message: "" }),
    (reason: { code: string; message: string }) => reason,
  );
  return { code: error.code, message: error.message };
}

function describeTree(root: string): Map<string, string> {
  const out = new Map<string, string>();
  const firstName = new Map<number, string>();
  const visit = (directory: string): void => {
    for (const name of readdirSync(join(root, directory)).sort()) {
      const path = join(directory, name);
      const status = lstatSync(join(root, path));
      const [mode, mtime] = [(status.mode & 0o7777).toString(8), Math.floor(status.mtimeMs / 1000)];
      if (status.isDirectory()) {
        out.set(path, `directory ${mode} ${mtime}`);
        visit(path);
        continue;
      }
      const first = firstName.get(status.ino) ?? path;
      firstName.set(status.ino, first);
      const [kind, text] = status.isSymbolicLink()
        ? ["symlink", readlinkSync(join(root, path))]
        : [status.isFile() ? "file" : "other", status.isFile() ? readFileSync(join(root, path), "utf8") : ""];
      out.set(path, `${kind} ${mode} ${mtime} ${text} =${first}`);
    }
  };
  visit("");
  return out;
}

describe("unpack() in sight of the layers below", () => {
  test("gives missing parents what they have below", async () => {
    const root = await image(
      [{ name: "private/", mode: 0o700, mtime: 77 }, { name: "private/old" }],
      [{ name: "private/new", data: "new" }],
    );
    expect(statSync(join(root, "private")).mode & 0o7777).toBe(0o700);
    expect(statSync(join(root, "private")).mtimeMs).toBe(77_000);
    expect(lstatSync(dataDir().layerRootfs(layerId(1))).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(root, "private")).sort()).toEqual(["new", "old"]);
  });

  test("follows a parent that is a symbolic link below, and stays in the root", async () => {
    const root = await image(
      [
        { name: "usr/lib/libc" },
        { name: "lib", type: "2", link: "usr/lib" },
        { name: "up", type: "2", link: "../../../usr" },
        { name: "abs", type: "2", link: "/usr" },
      ],
      [{ name: "lib/libm" }, { name: "up/x" }, { name: "abs/y" }],
    );
    expect(readlinkSync(join(root, "lib"))).toBe("usr/lib");
    expect(readdirSync(join(root, "usr/lib")).sort()).toEqual(["libc", "libm"]);
    expect(readdirSync(join(root, "usr")).sort()).toEqual(["lib", "x", "y"]);
  });

  test("copies the target of a hard link up", async () => {
    const root = await image(
      [{ name: "a", data: "text", mode: 0o640, mtime: 5 }],
      [{ name: "d/b", type: "1", link: "a" }],
    );
    expect(statSync(join(root, "a")).ino).toBe(statSync(join(root, "d/b")).ino);
    expect(readFileSync(join(root, "d/b"), "utf8")).toBe("text");
    expect(statSync(join(root, "d/b")).mtimeMs).toBe(5000);
  });

  test("keeps hidden what a later entry of the same layer puts a directory over", async () => {
    const root = await image(
      [{ name: "d/old" }, { name: "e/old" }],
      [{ name: ".wh.d" }, { name: "d/new" }, { name: "e" }, { name: "e/" }],
    );
    expect(readdirSync(join(root, "d"))).toEqual(["new"]);
    expect(readdirSync(join(root, "e"))).toEqual([]);
  });

  test("the last entry of a name wins", async () => {
    const root = await image([
      { name: "x", data: "1" },
      { name: "x", data: "22" },
      { name: "d/sub/f" },
      { name: "d", data: "file" },
      { name: "s", type: "2", link: "x" },
      { name: "s", data: "plain" },
    ]);
    expect(["x", "d", "s"].map((name) => readFileSync(join(root, name), "utf8"))).toEqual(["22", "file", "plain"]);
  });

  test("keeps no sparse data where the archive has holes", async () => {
    const root = await image([
      { name: "s", data: "ab", pax: { "GNU.sparse.size": "5000000", "GNU.sparse.map": "1000000,2" } },
    ]);
    const status = statSync(join(root, "s"));
    expect(status.size).toBe(5_000_000);
    expect(status.blocks * 512).toBeLessThan(100_000);
    expect(readFileSync(join(root, "s")).subarray(999_999, 1_000_003).toString("latin1")).toBe("\0ab\0");
  });

  test("gives device nodes to root as a list, without those that went away", async () => {
    const device = { type: "3", major: 1, minor: 3, mode: 0o666, ...owner };
    const unpacked = await unpackLayer(
      tar(
        { name: "dev/null", ...device },
        { name: "dev/twin", type: "1", link: "dev/null" },
        { name: "gone", ...device },
        { name: "gone" },
        { name: "g/h", ...device },
        { name: "g" },
      ),
      0,
    );
    expect(unpacked.devices).toMatchObject([
      { paths: ["dev/null", "dev/twin"], type: "char", major: 1, minor: 3, attributes: { mode: 0o666 } },
    ]);
  });

  test("takes user attributes and drops those of the overlay and of the host", async () => {
    await unpackLayer(
      tar({
        name: "f",
        ...owner,
        pax: [
          ["SCHILY.xattr.user.kept", Buffer.from([0, 255])],
          ["SCHILY.xattr.user.overlay.opaque", "y"],
          ["SCHILY.xattr.trusted.x", "1"],
          ["SCHILY.xattr.security.selinux", "1"],
        ],
      }),
      0,
    );
    const file = join(dataDir().layerRootfs(layerId(0)), "f");
    expect(linux.llistxattr(file).map(String)).toEqual(["user.kept"]);
    expect(linux.lgetxattr(file, "user.kept")).toEqual(Buffer.from([0, 255]));
  });

  test("agrees with the plain model on random layers", async () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const { archives, entries, model } = fuzzCase(seed, owner);
      for (const [index, archive] of archives.entries()) await unpackLayer(archive, index);
      const actual = describeTree(merged(archives.length));
      const wanted = describeModel(model);
      for (const [path, what] of wanted) {
        // A directory that no entry names has the time of whatever made it.
        if (what.endsWith(" ?")) actual.set(path, (actual.get(path) ?? "").replace(/ \d+$/, " ?"));
      }
      expect({ seed, entries, tree: Object.fromEntries(actual) }).toEqual({
        seed,
        entries,
        tree: Object.fromEntries(wanted),
      });
      for (const fd of descriptors.splice(0)) linux.close(fd);
      spawnSync("rm", ["-rf", ...readdirSync(base).map((name) => join(base, name))]);
    }
  }, 60_000);
});

describe("unpack() waits for the layers below", () => {
  const root = { name: "./", type: "5" } as const;
  const etc = { name: "etc/", type: "5" } as const;
  test("not at all, when the archive names every directory before what is in it", async () => {
    const link = { name: "etc/other", type: "1", link: "etc/new" } as const;
    expect(await timesWaited(root, etc, { name: "etc/new", data: "new" }, link)).toBe(0);
  });
  test.each<[string, ...Member[]]>([
    ["a parent that it does not name", root, { name: "etc/new", data: "new" }],
    ["a root that it does not name", etc, { name: "etc/new", data: "new" }],
    ["a whiteout", root, etc, { name: "etc/.wh.old", data: "" }],
    ["an opaque directory", root, etc, { name: "etc/.wh..wh..opq", data: "" }],
    ["a link to what is below", root, etc, { name: "etc/other", type: "1", link: "etc/old" }],
  ])("once, for %s", async (_name, ...members) => {
    expect(await timesWaited(...members)).toBe(1);
  });
});

describe("unpack() refuses", () => {
  test("names that lead out", async () => {
    for (const name of ["../evil", "a/../../evil", ".."]) {
      expect(await refusal({ name })).toMatchObject({ code: "MALICIOUS", message: expect.stringContaining(name) });
    }
    expect(await refusal({ name: "x", type: "1", link: "../../etc/passwd" })).toMatchObject({ code: "MALICIOUS" });
    expect(await refusal({ name: ".wh..." })).toMatchObject({ code: "MALICIOUS" });
    expect(existsSync(join(base, "evil"))).toBe(false);
  });

  test("hard links to nothing, to a directory, to the host", async () => {
    for (const link of ["nothing", "d", "/etc/passwd", "host/passwd"]) {
      const answer = await refusal(
        { name: "d/" },
        { name: "host", type: "2", link: "/etc" },
        { name: "x", type: "1", link },
      );
      expect(answer).toMatchObject({ code: "INVALID_INPUT", message: expect.stringContaining(`"${link}"`) });
      spawnSync("rm", ["-rf", dataDir().layers]);
    }
  });

  test("entries below a file, a circle of links, names the kernel refuses, whiteouts as devices", async () => {
    const members: Member[][] = [
      [{ name: "f" }, { name: "f/below" }],
      [{ name: "l", type: "2", link: "m" }, { name: "m", type: "2", link: "l" }, { name: "l/x" }],
      [{ name: "x", pax: { path: "n".repeat(300) } }],
      [{ name: "x", type: "3", major: 0, minor: 0 }],
      [{ name: "./", type: "2", link: "/etc" }],
    ];
    for (const archive of members) {
      expect((await refusal(...archive)).code).toBe("INVALID_INPUT");
      spawnSync("rm", ["-rf", dataDir().layers]);
    }
  });

  test("content that is not what it was promised to be, before every other complaint", async () => {
    const wrong = { digest: `sha256:${"0".repeat(64)}` };
    const error = unpackLayer(Buffer.alloc(1024, 1), 0, wrong);
    expect(error).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
  });
});
