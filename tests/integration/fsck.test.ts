/** `rkt fsck`: every kind of damage is found, named, mended, and then gone; leftovers are told apart from it. Needs root, busybox-static. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let dir: TemporaryDirectory;
let layout = "";
let aci = "";
let manifestDigest = "";
/** A store that every test gets a copy of. */
let stock: { rkt: TestRkt; oci: string; app: string } | undefined;
beforeAll(() => {
  dir = temporaryDirectory("fsck");
  layout = join(dir.path, "layout");
  aci = join(dir.path, "app.aci");
  manifestDigest = buildBusyboxOci(layout, { layers: [{ "etc/motd": "oci" }] }).manifestDigest;
  buildAci(aci, { name: "example.com/app" });
  const first = testRkt();
  const fetch = (name: string) => first.ok(["--insecure-options=image", "fetch", "--full", name]).trim();
  stock = { rkt: first, oci: fetch(`oci:${layout}:latest`), app: fetch(aci) };
});
afterAll(() => {
  stock?.rkt[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

interface Stocked extends TestRkt {
  oci: string;
  app: string;
  cas: string;
  blob(digest: string): string;
}

function stocked(): Stocked {
  const rkt = testRkt();
  if (stock === undefined) throw new Error("there is no store");
  runProgram(["cp", "--archive", "--reflink=auto", stock.rkt.dataDir, rkt.dataDir]);
  const cas = join(rkt.dataDir, "cas");
  const blob = (digest: string) => {
    const [algorithm = "", hex = ""] = digest.split(":");
    return join(cas, "blob", algorithm, hex.slice(0, 2), `${algorithm}-${hex}`);
  };
  return { ...rkt, oci: stock.oci, app: stock.app, cas, blob };
}

interface Found {
  severity: string;
  kind: string;
  path: string;
  image?: string;
  mended: boolean;
  action?: string;
}

function fsck(rkt: TestRkt, ...flags: string[]): { status: number; problems: Found[]; stderr: string } {
  const { status, stdout, stderr } = rkt.run(["fsck", "--format=json", ...flags]);
  if (stdout === "") throw new Error(`fsck: ${status} ${stderr}`);
  return { status, stderr, problems: JSON.parse(stdout).problems };
}

/** The digest of the largest layer. */
function layerOf(rkt: Stocked): string {
  const manifest = JSON.parse(rkt.ok(["image", "cat-manifest", "--raw", rkt.oci]));
  return manifest.layers[0].digest;
}

function expectInOrder(rkt: TestRkt, ...flags: string[]): void {
  expect(fsck(rkt, "--deep", ...flags)).toMatchObject({ status: 0, problems: [] });
}

test("nothing is wrong with a store in use", () => {
  using rkt = stocked();
  expectInOrder(rkt);
  rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
  expectInOrder(rkt, "--repair");
  expect(rkt.ok(["fsck"])).toBe("the data directory is in order\n");
  expect(rkt.run(["fsck", "x"]).status).toBe(254);
  expect(rkt.run(["--dir=/nonexistent/rkt", "fsck"]).stderr).toContain("there is no such directory");
});

interface Damage {
  readonly name: string;
  readonly kind: string;
  readonly flags?: readonly string[];
  /** Does it; returns a check that it is mended. */
  readonly damage: (rkt: Stocked) => void;
}

const DAMAGES: readonly Damage[] = [
  { name: "a missing layer", kind: "missing-blob", damage: (rkt) => unlinkSync(rkt.blob(layerOf(rkt))) },
  { name: "a missing manifest", kind: "missing-blob", damage: (rkt) => unlinkSync(rkt.blob(manifestDigest)) },
  { name: "a cut layer", kind: "wrong-size", damage: (rkt) => truncateSync(rkt.blob(layerOf(rkt)), 1000) },
  {
    name: "a layer with one wrong bit",
    kind: "wrong-content",
    flags: ["--deep"],
    damage: (rkt) => {
      const bytes = readFileSync(rkt.blob(layerOf(rkt)));
      bytes[5000] = (bytes[5000] ?? 0) ^ 1;
      writeFileSync(rkt.blob(layerOf(rkt)), bytes);
    },
  },
  {
    name: "a layer that became a directory",
    kind: "wrong-content",
    damage: (rkt) => {
      unlinkSync(rkt.blob(layerOf(rkt)));
      runProgram(["ln", "-s", "/etc/shadow", rkt.blob(layerOf(rkt))]);
    },
  },
  {
    name: "a record that is no JSON",
    kind: "broken-record",
    damage: (rkt) => writeFileSync(join(rkt.cas, "images", `${rkt.oci}.json`), "{"),
  },
  {
    name: "the whole index gone",
    kind: "lost-record",
    damage: (rkt) => {
      rmSync(join(rkt.cas, "images"), { recursive: true });
      rmSync(join(rkt.cas, "refs"), { recursive: true });
    },
  },
  {
    name: "a broken verdict",
    kind: "broken-verdict",
    damage: (rkt) => writeFileSync(join(rkt.cas, "verified", `${rkt.oci}.json`), "[]"),
  },
  {
    name: "a lost manifest of an ACI",
    kind: "lost-manifest",
    damage: (rkt) => unlinkSync(join(rkt.cas, "images", `${rkt.app}.manifest`)),
  },
  {
    name: "a record that only its owner can read",
    kind: "wrong-mode",
    damage: (rkt) => chmodSync(join(rkt.cas, "images", `${rkt.oci}.json`), 0o600),
  },
  {
    name: "a blob that everybody can read",
    kind: "wrong-mode",
    damage: (rkt) => chmodSync(rkt.blob(manifestDigest), 0o664),
  },
  { name: "a directory's mode", kind: "wrong-mode", damage: (rkt) => chmodSync(join(rkt.cas, "blob"), 0o755) },
  {
    name: "a directory that is missing",
    kind: "missing-directory",
    damage: (rkt) => rmSync(join(rkt.cas, "tmp"), { recursive: true }),
  },
  {
    name: "a directory of root's that is somebody else's",
    kind: "foreign-directory",
    damage: (rkt) => chownSync(join(rkt.cas, "layer"), 4711, 4711),
  },
  {
    name: "the short name of a layer",
    kind: "lost-link",
    damage: (rkt) => {
      for (const name of readdirSync(join(rkt.cas, "l"))) unlinkSync(join(rkt.cas, "l", name));
    },
  },
  {
    name: "a tree record that is cut",
    kind: "broken-tree",
    damage: (rkt) => truncateSync(join(rkt.cas, "tree", `${rkt.oci}.json`), 10),
  },
  {
    name: "a changed unpacked file",
    kind: "changed-layer",
    flags: ["--deep"],
    damage: (rkt) => writeFileSync(join(rkt.cas, "layer", rkt.app, "rootfs/etc/passwd"), "root::0:0::/:/bin/sh\n"),
  },
  { name: "no format", kind: "broken-format", damage: (rkt) => unlinkSync(join(rkt.dataDir, "format")) },
  {
    name: "a format that is no number",
    kind: "broken-format",
    damage: (rkt) => writeFileSync(join(rkt.dataDir, "format"), ""),
  },
];

describe("damage", () => {
  test.each(DAMAGES.map((one) => [one.name, one] as const))("%s", (_name, { kind, flags = [], damage }) => {
    using rkt = stocked();
    damage(rkt);
    const found = fsck(rkt, ...flags);
    expect(found.problems.map((one) => one.kind)).toContain(kind);
    expect(found.problems.every(({ mended }) => !mended)).toBe(true);
    expect(found.status).toBe(1);
    // Looking changes nothing.
    expect(fsck(rkt, ...flags).problems).toEqual(found.problems);

    const mended = fsck(rkt, "--repair", ...flags);
    expect(mended.problems.filter((one) => !one.mended)).toEqual([]);
    expect(mended.problems.map((one) => one.kind)).toContain(kind);
    expect(mended.status).toBe(0);
    if (kind === "foreign-directory") rkt.ok(["image", "gc"]);
    expectInOrder(rkt);
    for (const id of [rkt.oci, rkt.app]) {
      rkt.ok(["--insecure-options=image", "image", "render", "--overwrite", id, join(rkt.dir, "out")]);
      rkt.ok(["image", "verify", id]);
    }
    expect(rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id"]).trim().split("\n").toSorted()).toEqual(
      [rkt.oci, rkt.app].toSorted(),
    );
  });
});

test("an index without root's own records is rebuilt from the blobs alone", () => {
  using rkt = stocked();
  for (const part of ["images", "refs", "verified"]) rmSync(join(rkt.cas, part), { recursive: true });
  expect(fsck(rkt, "--repair").status).toBe(0);
  const rows = rkt
    .ok(["image", "list", "--full", "--no-legend", "--fields=id,name,signer"])
    .trim()
    .split("\n")
    .toSorted();
  expect(rows.map((row) => row.split(/\t+/)[0])).toEqual([rkt.oci, rkt.app].toSorted());
  expect(rows.join("\n")).toContain("example.com/app:1.0.0");
  // Nothing is believed of it: it is verified again before it runs.
  const refused = rkt.run(["prepare", "--quiet", rkt.oci]);
  expect(refused.status).toBe(254);
  rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
});

test("image list says that the index is lost", () => {
  using rkt = stocked();
  rmSync(join(rkt.cas, "images"), { recursive: true });
  const { stderr, status } = rkt.run(["image", "list"]);
  expect(stderr).toContain("is empty, but 2 image(s) are there: rkt fsck --repair records them again");
  expect(status).toBe(0);
  rkt.ok(["fsck", "--repair"]);
  expect(rkt.run(["image", "list"]).stderr).toBe("");
});

test("what cannot be fetched again is said, and an image that is unpacked still runs", () => {
  using rkt = testRkt();
  using away = temporaryDirectory("fsck-away");
  const moved = join(away.path, "layout");
  buildBusyboxOci(moved, {});
  const id = rkt.ok(["--insecure-options=image", "fetch", "--full", `oci:${moved}:latest`]).trim();
  const layers = readdirSync(join(rkt.dataDir, "cas/layer"));
  rmSync(join(moved, "index.json"));
  const manifest = JSON.parse(rkt.ok(["image", "cat-manifest", "--raw", id]));
  const [, hex] = manifest.layers[0].digest.split(":");
  unlinkSync(join(rkt.dataDir, "cas/blob/sha256", hex.slice(0, 2), `sha256-${hex}`));
  const { status, problems } = fsck(rkt, "--repair");
  expect(status).toBe(1);
  expect(problems).toMatchObject([
    { kind: "missing-blob", mended: false, image: id, action: expect.stringContaining("cannot fetch it again") },
  ]);
  expect(readdirSync(join(rkt.dataDir, "cas/layer"))).toEqual(layers);
  rkt.ok(["--insecure-options=image", "prepare", "--quiet", id]);
});

test("pods keep what they stand on: a lost tree record comes back, lost layers are unpacked again, changed ones are left", () => {
  using rkt = stocked();
  rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
  const trees = join(rkt.cas, "tree");
  for (const name of readdirSync(trees)) unlinkSync(join(trees, name));
  const lost = fsck(rkt, "--repair");
  expect(lost.problems.map(({ kind, mended }) => `${kind} ${mended}`)).toEqual(["lost-tree true", "lost-tree true"]);
  expectInOrder(rkt);

  const motd = readdirSync(join(rkt.cas, "layer"))
    .map((name) => join(rkt.cas, "layer", name, "rootfs/etc/motd"))
    .find((path) => existsSync(path));
  writeFileSync(motd ?? "", "changed");
  const changed = fsck(rkt, "--repair", "--deep");
  expect(changed.status).toBe(1);
  expect(changed.problems).toMatchObject([{ kind: "changed-layer", mended: false }]);
  expect(readFileSync(motd ?? "", "utf8")).toBe("changed");

  unlinkSync(join(motd ?? "", "../../../rendered"));
  const unpacked = fsck(rkt, "--repair");
  expect(unpacked.problems.map(({ kind }) => kind)).toContain("lost-layers");
  expect(unpacked.status).toBe(0);
  expect(readFileSync(motd ?? "", "utf8")).toBe("oci");
  expectInOrder(rkt);
});

test("leftovers are no damage, and go with --repair", () => {
  using rkt = stocked();
  const orphan = join(rkt.cas, "blob/sha256/00", `sha256-${"0".repeat(64)}`);
  mkdirSync(join(orphan, ".."), { recursive: true });
  const left = [orphan, join(rkt.cas, "tmp/old.part"), join(rkt.cas, "images/.new-1")];
  for (const path of left) {
    writeFileSync(path, "x");
    utimesSync(path, new Date(0), new Date(0));
  }
  const layer = join(rkt.cas, "layer", `sha256-${"3".repeat(64)}`);
  mkdirSync(join(layer, "rootfs/etc"), { recursive: true });
  const temporary = join(rkt.dataDir, "tmp/rkt-image-export-x");
  mkdirSync(temporary);
  const all = [...left, layer, temporary];
  const found = fsck(rkt);
  expect(found.status).toBe(0);
  expect(found.problems.map(({ path }) => path).toSorted()).toEqual(all.toSorted());
  expect(found.problems.every(({ severity }) => severity === "leftover")).toBe(true);
  expect(rkt.ok(["fsck"])).toContain("damage: 0 found, 0 mended; leftovers: 5 found, 0 removed");
  expect(fsck(rkt, "--repair").problems.every(({ mended }) => mended)).toBe(true);
  expect(all.filter((path) => existsSync(path))).toEqual([]);
  expectInOrder(rkt);
});

test("a second name does not let a member have root open somebody's file", () => {
  using rkt = stocked();
  const secret = join(rkt.cas, "secret");
  writeFileSync(secret, "secret", { mode: 0o600 });
  const path = join(rkt.cas, "images", `${rkt.oci}.manifest`);
  runProgram(["ln", secret, path]);
  const { problems, status } = fsck(rkt, "--repair");
  expect(problems.find((one) => one.path === path)).toMatchObject({
    mended: false,
    action: expect.stringContaining("other names"),
  });
  expect(status).toBe(1);
  expect(statSync(secret).mode & 0o777).toBe(0o600);
  expect(lstatSync(path).nlink).toBe(2);
});

describe("an image with a damaged blob", () => {
  test("is fetched again by a run that may, and named by one that may not", () => {
    using rkt = stocked();
    // Not unpacked, so that its blobs are needed.
    for (const name of readdirSync(join(rkt.cas, "layer"))) rmSync(join(rkt.cas, "layer", name), { recursive: true });
    const layer = layerOf(rkt);
    unlinkSync(rkt.blob(layer));
    const { status, stderr } = rkt.run(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
    expect(status).toBe(254);
    expect(stderr).toContain(`blob ${layer} is missing or has another size`);
    expect(stderr).toContain(`rkt fetch oci:${layout}:latest`);
    rkt.ok(["--insecure-options=image", "fetch", `oci:${layout}:latest`]);
    rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
  });

  test("of the right size is found when it is unpacked, removed, and brought by the next fetch", () => {
    using rkt = stocked();
    for (const name of readdirSync(join(rkt.cas, "layer"))) rmSync(join(rkt.cas, "layer", name), { recursive: true });
    const path = rkt.blob(layerOf(rkt));
    const bytes = readFileSync(path);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { status, stderr } = rkt.run(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
    expect(status).toBe(254);
    expect(stderr).toContain("its content has sha256:");
    expect(stderr).toContain("rkt fsck --repair");
    expect(existsSync(path)).toBe(false);
    rkt.ok(["--insecure-options=image", "fetch", `oci:${layout}:latest`]);
    rkt.ok(["--insecure-options=image", "prepare", "--quiet", rkt.oci]);
  });
});
