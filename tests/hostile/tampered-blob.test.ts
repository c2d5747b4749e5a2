/** Attack: a member of group rkt, who owns the files of the store, changes an image's content after it was verified. Needs root. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blobPath, buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

const CHANGES: [what: string, change: (path: string) => void, words: RegExp][] = [
  ["a bit", (path) => writeFileSync(path, flipped(readFileSync(path))), /its content has sha/],
  [
    "the end",
    (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from("more")])),
    /bytes, expected|another size/,
  ],
  [
    "the file for a link to another",
    (path) => {
      rmSync(path);
      symlinkSync("/etc/passwd", path);
    },
    /missing or has another size|symbolic link|ELOOP/,
  ],
  [
    "the file for a pipe",
    (path) => {
      rmSync(path);
      runProgram(["mkfifo", path]);
    },
    /missing or has another size|no plain file|not a regular file/,
  ],
];

test.each(CHANGES)(
  "changing %s of a layer or archive is found before anything of it is used",
  (_what, change, words) => {
    using dir = temporaryDirectory("tampered");
    using rkt = testRkt();
    const [layout, aci] = [join(dir.path, "layout"), join(dir.path, "app.aci")];
    buildBusyboxOci(layout, {});
    buildAci(aci);
    for (const reference of [`oci:${layout}:latest`, aci]) {
      const id = rkt.ok(["--insecure-options=image", "fetch", "--full", reference]).trim();
      for (const name of readdirSync(join(rkt.dataDir, "cas/layer")))
        rmSync(join(rkt.dataDir, "cas/layer", name), { recursive: true });
      change(largestBlob(rkt));
      const { status, stderr } = rkt.run(["--insecure-options=image", "prepare", "--quiet", id]);
      expect(stderr).toMatch(words);
      expect(status).toBe(254);
      expect(readdirSync(join(rkt.dataDir, "cas/layer"))).toEqual([]);
      expect(rkt.pods()).toEqual([]);
      rkt.ok(["image", "rm", id]);
      rkt.ok(["image", "gc", "--grace-period=0s"]);
    }
  },
);

test("an image whose layers are not those of its configuration is refused when it is unpacked, and not kept", () => {
  using dir = temporaryDirectory("contradicting");
  using rkt = testRkt();
  const layout = join(dir.path, "layout");
  buildBusyboxOci(layout, {});
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest = JSON.parse(readFileSync(blobPath(layout, index.manifests[0].digest), "utf8"));
  const config = JSON.parse(readFileSync(blobPath(layout, manifest.config.digest), "utf8"));
  config.rootfs.diff_ids = config.rootfs.diff_ids.map(() => `sha256:${"0".repeat(64)}`);
  manifest.config = { ...manifest.config, ...put(layout, config) };
  index.manifests[0] = { ...index.manifests[0], ...put(layout, manifest) };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  for (const command of [["fetch"], ["prepare", "--quiet"]]) {
    const { status, stderr } = rkt.run(["--insecure-options=image", ...command, `oci:${layout}:latest`]);
    expect(stderr).toContain("has the diff id sha256:");
    expect(status).toBe(254);
    expect(rkt.ok(["image", "list", "--no-legend"]).trim()).not.toContain(layout);
    expect(readdirSync(join(rkt.dataDir, "cas/layer"))).toEqual([]);
    expect(rkt.pods()).toEqual([]);
  }
});

/** A document of the layout; the result is its descriptor's digest and size. */
function put(layout: string, document: unknown): { digest: string; size: number } {
  const content = JSON.stringify(document);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(content).digest("hex")}`;
  writeFileSync(blobPath(layout, digest), content);
  return { digest, size: content.length };
}

function largestBlob(rkt: TestRkt): string {
  const list = runProgram(["find", join(rkt.dataDir, "cas/blob"), "-type", "f", "-printf", "%s %p\n"])
    .trim()
    .split("\n");
  const [largest = ""] = list.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  return largest.slice(largest.indexOf(" ") + 1);
}

function flipped(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return bytes;
}
