/**
 * What rkt renders beside what `umoci unpack` makes of the same image: names, types, modes, owners, times, extended attributes, link targets and contents, once as the
 * mounted overlay and once as the copy for --no-overlay. The images are made by umoci, skopeo and GNU tar, or byte by byte where no honest tool writes such a thing. Needs root.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { parseImageId } from "../../src/core/digest.ts";
import { linux } from "../../src/host/mod.ts";
import { findRenderedTree, overlayOptions } from "../../src/render/mod.ts";
import { mountOverlay } from "../../src/stage0/mount-overlay.ts";
import { describeTree } from "../harness/describe-tree.ts";
import { buildBusyboxOci, packDockerArchive } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { base256, gnuLong, type Member, tar } from "../harness/tar-builder.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";
import { umociChange, umociImage, umociUnpack } from "../harness/umoci.ts";

setDefaultTimeout(300_000);

let dir: TemporaryDirectory;
let rkt: TestRkt;
beforeAll(() => {
  dir = temporaryDirectory("umoci");
  rkt = testRkt();
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

interface Case {
  readonly name: string;
  /** Makes an image and says where it is. Archives: umoci stacks them as they are. */
  readonly image: readonly Uint8Array[] | ((base: string) => Built);
  /** Paths at which umoci does not do what it should, and why; the tree must then be `expected` there (undefined: nothing is there). */
  readonly umociIsWrong?: Readonly<Record<string, { readonly why: string; readonly expected: RegExp | undefined }>>;
}

interface Built {
  /** "oci:…", for rkt. */
  readonly reference: string;
  readonly layout: string;
  readonly tag: string;
  /** The one archive, where umoci refuses the image: GNU tar is asked instead. */
  readonly archive?: string;
}

const file = (name: string, data: string, more: Partial<Member> = {}): Member => ({ name, data, ...more });
const directory = (name: string, more: Partial<Member> = {}): Member => ({ name: `${name}/`, ...more });
const symlink = (name: string, link: string): Member => ({ name, link, type: "2" });
const hardLink = (name: string, link: string): Member => ({ name, link, type: "1" });
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** VFS_CAP_REVISION_2 with CAP_NET_RAW, as ping has it: bytes that are no text. */
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");

const MOMENT =
  "no entry describes the directory: umoci leaves the moment of unpacking as its time, so that no two unpackings are equal; here it is the time of the entry inside, or 0";

const CASES: readonly Case[] = [
  {
    name: "a hard link into a lower layer",
    image: [
      tar(directory("d"), file("d/below", "text", { mode: 0o640, uid: 7, gid: 8 }), file("other", "o")),
      tar(hardLink("d/above", "d/below"), directory("e"), hardLink("e/third", "d/above")),
    ],
  },
  {
    name: "files without entries for their parents",
    image: [tar(file("a/b/c/file", "text", { mtime: 1_234_567_890 }))],
    umociIsWrong: {
      ...Object.fromEntries(
        ["a", "a/b", "a/b/c"].map((path) => [
          path,
          { why: MOMENT, expected: /^directory 755 0:0 1234567890000000000$/ },
        ]),
      ),
      ".": { why: MOMENT, expected: /^directory 755 0:0 0$/ },
    },
  },
  {
    name: "a parent that is a private directory below",
    image: [
      tar(directory("secret", { mode: 0o700, uid: 12, gid: 34, mtime: 5000 }), file("secret/one", "1")),
      tar(file("secret/two", "2")),
    ],
  },
  {
    name: "a parent that is a symbolic link below",
    image: [
      tar(
        directory("usr"),
        directory("usr/lib"),
        file("usr/lib/old", "old"),
        symlink("lib", "usr/lib"),
        symlink("abs", "/usr/lib"),
      ),
      tar(file("lib/new", "new"), file("abs/newer", "newer")),
    ],
  },
  {
    name: "a directory in the place of a symbolic link below",
    image: [
      tar(directory("usr"), directory("usr/lib"), file("usr/lib/old", "old"), symlink("lib", "usr/lib")),
      tar(directory("lib"), file("lib/new", "new")),
    ],
  },
  {
    name: "opaque and whiteout of one name",
    image: [
      tar(directory("d"), file("d/gone", "1"), file("d/also", "2"), directory("e"), file("e/gone", "3")),
      tar(directory("d"), file("d/.wh..wh..opq", ""), file("d/.wh.gone", ""), file("d/new", "4"), file(".wh.e", "")),
      tar(directory("e"), file("e/fresh", "5"), file("d/.wh.new", "")),
    ],
  },
  {
    name: "a whiteout, and the same name again in one layer",
    image: [
      tar(directory("d"), file("d/file", "old"), directory("d/dir"), file("d/dir/inside", "old")),
      tar(
        file("d/.wh.file", ""),
        file("d/file", "new"),
        file("d/.wh.dir", ""),
        directory("d/dir"),
        file("d/dir/other", "new"),
      ),
    ],
  },
  {
    name: "a binary capability",
    image: [
      tar(
        directory("bin"),
        file("bin/ping", "#!", {
          mode: 0o755,
          pax: [
            ["SCHILY.xattr.security.capability", CAPABILITY],
            ["SCHILY.xattr.user.binary", Buffer.from([0xff, 0x00, 0x3d, 0x0a, 0x80])],
          ],
        }),
      ),
    ],
  },
  {
    name: "names that are not UTF-8",
    image: [
      tar(
        { name: bytes("caf\xe9"), data: "latin1" },
        { name: bytes("d\xff/"), type: "5" },
        { name: bytes("d\xff/\xfe\xfd"), data: "inside" },
        { name: bytes("l\x80"), type: "2", link: bytes("caf\xe9") },
      ),
      tar({ name: bytes("d\xff/.wh.\xfe\xfd"), data: "" }),
    ],
  },
  // umoci 0.4.7 knows no old GNU sparse entries ("unknown typeflag 'S'").
  {
    name: "GNU sparse files",
    image: () => ({ ...sparse("--format=gnu"), archive: join(scratch("--format=gnu"), "archive.tar") }),
  },
  { name: "pax sparse files 0.0", image: () => sparse("--format=posix --sparse-version=0.0") },
  { name: "pax sparse files 0.1", image: () => sparse("--format=posix --sparse-version=0.1") },
  { name: "pax sparse files 1.0", image: () => sparse("--format=posix --sparse-version=1.0") },
  {
    name: "130 layers",
    image: Array.from({ length: 130 }, (_, index) =>
      tar(
        file(`file-${index % 40}`, `of layer ${index}`, { mtime: 1000 + index }),
        directory(`d${index % 7}`, { mtime: 2000 + index }),
        file(`d${index % 7}/${index}`, "x"),
        ...(index % 5 === 4 ? [file(`d${(index - 2) % 7}/.wh.${index - 2}`, "")] : []),
      ),
    ),
  },
  {
    name: "times to the nanosecond, before 1970 and after 2038",
    image: [
      tar(
        file("nano", "x", { pax: { mtime: "1234567890.123456789" } }),
        file("micro", "x", { pax: { mtime: "1234567890.5" } }),
        directory("late", { pax: { mtime: "4102444800.000000001" } }),
        file("early", "x", { pax: { mtime: "-86400.25" } }),
        { ...symlink("link", "nano"), pax: { mtime: "1000000000.987654321" } },
      ),
    ],
  },
  {
    name: "user and group 3,000,000",
    image: [
      tar(
        file("octal-is-too-short", "x", {
          patch: (header) => {
            base256(3_000_000n, 8).copy(header, 108);
            base256(3_000_001n, 8).copy(header, 116);
          },
        }),
        file("pax", "x", { pax: { uid: "3000000", gid: "4000000000" } }),
        directory("dir", { pax: { uid: "3000000" } }),
      ),
    ],
  },
  {
    name: "an image that carries the overlay's own attributes",
    image: [
      tar(directory("d"), file("d/visible", "below")),
      tar(
        directory("d", {
          pax: {
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.overlay.opaque": "y",
            "SCHILY.xattr.user.kept": "yes",
          },
        }),
        file("d/moved", "x", {
          pax: { "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.redirect": "/etc" },
        }),
      ),
    ],
    umociIsWrong: {
      d: {
        why: "umoci sets whatever an archive names; an overlay over its tree would hide files. rkt drops the overlay's attributes, of which no image is the author",
        expected: /^directory 755 0:0 1000000000000000000 user\.kept=796573$/,
      },
      "d/moved": {
        why: "as above: a redirect would show another file",
        expected: /^file 644 0:0 1000000000000000000 1 x =d\/moved$/,
      },
    },
  },
  {
    name: "devices, pipes and odd modes",
    image: [
      tar(
        { name: "null", type: "3", major: 1, minor: 3, mode: 0o666 },
        { name: "disk", type: "4", major: 7, minor: 200, mode: 0o640, uid: 3 },
        { name: "pipe", type: "6", mode: 0o600 },
        file("suid", "x", { mode: 0o4755, uid: 12, gid: 34 }),
        file("sgid", "x", { mode: 0o2711, gid: 5 }),
        file("unreadable", "x", { mode: 0 }),
        directory("sticky", { mode: 0o1777 }),
        directory("locked", { mode: 0 }),
        file("locked/inside", "x"),
      ),
      tar(
        { name: "null", type: "3", major: 1, minor: 5, mode: 0o600 },
        hardLink("null-too", "null"),
        file("pipe", "no pipe any more"),
      ),
    ],
  },
  {
    name: "kinds that change from layer to layer",
    image: [
      tar(
        file("a", "file"),
        directory("b"),
        file("b/inside", "x"),
        symlink("c", "a"),
        directory("d"),
        file("d/x", "x"),
      ),
      tar(directory("a"), file("a/now", "dir"), file("b", "now a file"), file("c", "now a file"), symlink("d", "b")),
      tar(file("a", "a file again"), directory("b"), directory("d"), file("d/y", "y")),
    ],
  },
  {
    name: "one name twice in an archive, links that loop, and long names",
    image: [
      tar(
        file("twice", "first", { mode: 0o600 }),
        file("twice", "second", { mode: 0o644 }),
        symlink("loop", "loop"),
        symlink("dangling", "/nowhere/at/all"),
        hardLink("hard-to-soft", "dangling"),
        gnuLong("L", `${"n".repeat(120)}/${"m".repeat(120)}`),
        file("n", "long"),
        gnuLong("K", "t".repeat(300)),
        symlink("far", "t"),
      ),
    ],
    umociIsWrong: {
      ["n".repeat(120)]: {
        why: MOMENT,
        expected: /^directory 755 0:0 1000000000000000000$/,
      },
      ".": { why: MOMENT, expected: /^directory 755 0:0 0$/ },
    },
  },
  {
    name: "the root directory's own entry, an empty layer, attributes that change",
    image: [
      tar(
        directory(".", { mode: 0o700, uid: 9, gid: 9, mtime: 777 }),
        file("x", "x", { pax: { "SCHILY.xattr.user.old": "1" } }),
      ),
      tar(),
      tar(
        file("x", "y", { pax: { "SCHILY.xattr.user.new": "2" }, mode: 0o600, uid: 4 }),
        directory("z", { mtime: 888 }),
      ),
      tar(directory("z", { mode: 0o711, mtime: 999, pax: { "SCHILY.xattr.user.dir": "3" } })),
    ],
  },
  { name: "layers that umoci made itself, with whiteouts", image: umociMade },
  { name: "an image that skopeo converted from a docker archive", image: skopeoMade },
];

test.each(CASES.map((one) => [one.name, one] as const))("%s", (name, { image, umociIsWrong = {} }) => {
  const base = scratch(name);
  mkdirSync(base);
  const built = Array.isArray(image) ? stacked(base, image) : (image as (base: string) => Built)(base);
  const umoci = describe(oracle(built, join(base, "bundle")));
  const copied = join(base, "copied");
  const id = rkt.ok(["--insecure-options=image", "fetch", "--full", built.reference]).trim();
  rkt.ok(["--insecure-options=image", "image", "render", "--rootfs-only", id, copied]);
  // The digest that the unpacker made of what it wrote is the digest of what lies on the disk.
  expect(rkt.run(["image", "verify", id])).toMatchObject({
    status: 0,
    stderr: expect.not.stringContaining("rebuilding"),
  });
  const expected = new Map(umoci);
  const ours = describe(copied);
  for (const [path, { why, expected: right }] of Object.entries(umociIsWrong)) {
    // Where umoci is right after all, the exception must go.
    expect({ path, why, umoci: umoci.get(path) }).not.toEqual({ path, why, umoci: ours.get(path) });
    if (right !== undefined) expect(ours.get(path)).toMatch(right);
    else expect(ours.has(path)).toBe(false);
    expected.set(path, ours.get(path) ?? "");
    if (right === undefined) expected.delete(path);
  }
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(expected));
  expect(Object.fromEntries(throughOverlay(base, id))).toEqual(Object.fromEntries(expected));
});

test("zstd layers, which umoci cannot read, give the tree of the gzip layers they were made from", () => {
  const layout = join(dir.path, "gzip");
  buildBusyboxOci(layout, { layers: [{ "etc/motd": "hello" }, { "etc/.wh.passwd": "" }] });
  const zstd = join(dir.path, "zstd");
  const skopeo = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-compress-format=zstd", "--dest-compress"];
  runProgram([...skopeo, `oci:${layout}:latest`, `oci:${zstd}:latest`]);
  const index = JSON.parse(readFileSync(join(zstd, "index.json"), "utf8"));
  const manifest = readFileSync(join(zstd, "blobs", index.manifests[0].digest.replace(":", "/")), "utf8");
  expect(manifest).toContain("tar+zstd");
  const id = rkt.ok(["--insecure-options=image", "fetch", "--full", `oci:${zstd}:latest`]).trim();
  const base = join(dir.path, "zstd-base");
  mkdirSync(base);
  rkt.ok(["--insecure-options=image", "image", "render", "--rootfs-only", id, join(base, "copied")]);
  const expected = Object.fromEntries(describe(umociUnpack(layout, "latest", join(base, "bundle"))));
  expect(Object.fromEntries(describe(join(base, "copied")))).toEqual(expected);
  expect(Object.fromEntries(throughOverlay(base, id))).toEqual(expected);
});

function describe(root: string): Map<string, string> {
  return describeTree(root, { times: true, owners: true, xattrs: true, root: true });
}

/** The tree as a pod would see it. */
function throughOverlay(base: string, id: string): Map<string, string> {
  const dataDir = new DataDir(rkt.dataDir);
  const tree = findRenderedTree(dataDir, parseImageId(id));
  if (tree === undefined) throw new Error(`image ${id} is not rendered`);
  const { cwd, lowerdir } = overlayOptions(dataDir, tree);
  const [upper, work, target] = ["upper", "work", "merged"].map((name) => join(base, name)) as [string, string, string];
  const back = process.cwd();
  try {
    mountOverlay(linux, { base: cwd, lower: lowerdir.split(":"), upper, work, target });
  } finally {
    process.chdir(back);
  }
  try {
    const seen = describe(target);
    // The root directory is the pod's own upper one.
    seen.set(".", describe(new DataDir(rkt.dataDir).layerRootfs(tree.layers[0]?.layerId ?? "")).get(".") ?? "");
    return seen;
  } finally {
    runProgram(["umount", target]);
  }
}

/** The tree that the other unpacker makes. */
function oracle({ layout, tag, archive }: Built, bundle: string): string {
  if (archive === undefined) return umociUnpack(layout, tag, bundle);
  expect(() => umociUnpack(layout, tag, bundle)).toThrow("unknown typeflag");
  const root = `${bundle}-tar`;
  mkdirSync(root);
  runProgram(["tar", "--numeric-owner", "--same-owner", "-C", root, "-xpf", archive]);
  return root;
}

function stacked(base: string, archives: readonly Uint8Array[]): Built {
  const layout = join(base, "layout");
  umociImage(layout, "t", archives);
  return { reference: `oci:${layout}:t`, layout, tag: "t" };
}

function scratch(name: string): string {
  return join(dir.path, Bun.hash(name).toString(16));
}

/** A file of holes, one that is a hole, one that ends in one. */
function sparse(options: string): Built {
  const base = scratch(options);
  mkdirSync(join(base, "tree"), { recursive: true });
  const script = `cd tree
    truncate -s 20M holes; for at in 0 5000000 15000000 19999000; do printf data | dd of=holes bs=1 seek=$at conv=notrunc status=none; done
    truncate -s 3M all; printf start > end; truncate -s 1M end
    truncate -s 40M many; for i in $(seq 0 99); do printf $i | dd of=many bs=1 seek=$((i * 400000)) conv=notrunc status=none; done
    touch -d @1000000000 holes all end many .
    cd ..; tar --sparse ${options} --numeric-owner -C tree -cf archive.tar .`;
  runProgram(["bash", "-euc", script], { cwd: base });
  return stacked(base, [readFileSync(join(base, "archive.tar"))]);
}

function umociMade(base: string): Built {
  const built = stacked(base, [
    tar(directory("d"), file("d/a", "1"), file("d/b", "2"), directory("e"), file("e/c", "3"), directory("f")),
  ]);
  umociChange(
    built.layout,
    built.tag,
    join(base, "work1"),
    "rm d/a; rm -r e; ln d/b d/hard; ln -s b d/soft; printf new > f/x; chmod 600 d/b; chown 5:6 f; mkfifo f/pipe",
  );
  umociChange(
    built.layout,
    built.tag,
    join(base, "work2"),
    "rm -r d; mkdir d; printf again > d/a; mkdir e; printf e > e/d; rm f/pipe",
  );
  return built;
}

function skopeoMade(base: string): Built {
  const source = join(base, "source");
  buildBusyboxOci(source, {
    layers: [
      { "etc/motd": "hello", "opt/x/y": "z" },
      { "opt/.wh.x": "", "etc/.wh.motd": "" },
    ],
  });
  const archive = join(base, "archive.tar");
  packDockerArchive(source, "latest", archive);
  const layout = join(base, "layout");
  runProgram(["skopeo", "--insecure-policy", "copy", "--quiet", `docker-archive:${archive}`, `oci:${layout}:t`]);
  return { reference: `docker-archive:${archive}`, layout, tag: "t" };
}
