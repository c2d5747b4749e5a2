/** Attack: a member of group rkt, who may write the index of images, has root run another image than the one that was verified. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, makeSigner, type Signer, signAci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

let dir: TemporaryDirectory;
let signer: Signer;
let good = "";
let evil = "";
beforeAll(() => {
  dir = temporaryDirectory("swapped");
  signer = makeSigner();
  good = join(dir.path, "good.aci");
  evil = join(dir.path, "evil.aci");
  buildAci(good, { name: "example.com/app" }, { "etc/motd": "good" });
  buildAci(evil, { name: "example.com/app" }, { "etc/motd": "evil" });
  signAci(signer, good);
});
afterAll(() => {
  signer?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

/** Both images in the store, the good one verified by root, the evil one fetched by somebody who accepts anything. */
function stocked(): TestRkt & { good: string; evil: string; record(id: string): string } {
  const rkt = testRkt();
  const key = join(rkt.dir, "key");
  writeFileSync(key, signer.publicKey);
  rkt.ok(["trust", "--prefix=example.com/app", "--skip-fingerprint-review", key]);
  const ids = {
    good: rkt.ok(["fetch", "--full", good]).trim(),
    evil: rkt.ok(["--insecure-options=image", "fetch", "--full", evil]).trim(),
  };
  const record = (id: string) => join(rkt.dataDir, "cas/images", `${id}.json`);
  // A member's fetch leaves no record of root's.
  Bun.spawnSync(["rm", join(rkt.dataDir, "cas/verified", `${ids.evil}.json`)]);
  Bun.spawnSync(["rm", "-r", join(rkt.dataDir, "cas/layer"), join(rkt.dataDir, "cas/tree")]);
  return { ...rkt, ...ids, record };
}

function rendered(rkt: TestRkt, image: string): string {
  const out = join(rkt.dir, "out");
  rkt.ok(["image", "render", "--rootfs-only", "--overwrite", image, out]);
  return readFileSync(join(out, "etc/motd"), "utf8");
}

test("root's own record wins over one that the group can write", () => {
  using rkt = stocked();
  const swapped = readFileSync(rkt.record(rkt.evil), "utf8").replaceAll(rkt.evil, rkt.good);
  writeFileSync(rkt.record(rkt.good), swapped);
  expect(rendered(rkt, rkt.good)).toBe("good");
});

test("without root's record, the archive of another image under a verified id is refused", () => {
  using rkt = stocked();
  const swapped = readFileSync(rkt.record(rkt.evil), "utf8").replaceAll(rkt.evil, rkt.good);
  writeFileSync(rkt.record(rkt.good), swapped);
  Bun.spawnSync(["rm", join(rkt.dataDir, "cas/verified", `${rkt.good}.json`)]);
  const { status, stderr } = rkt.run(["prepare", "--quiet", rkt.good]);
  expect(status).toBe(254);
  // The stored signature is not one over this archive.
  expect(stderr).toMatch(/invalid signature|no signature/);
  expect(rkt.run(["--insecure-options=image", "prepare", "--quiet", rkt.good]).stderr).toContain(
    "uncompressed it is image",
  );
});

test("a name finds what was signed, whatever calls itself so", () => {
  using rkt = stocked();
  const prepared = rkt.run(["prepare", "--quiet", "--pull-policy=never", "example.com/app"]);
  expect(prepared.status).toBe(0);
  const manifest = rkt.ok(["cat-manifest", prepared.stdout.trim()]);
  expect(manifest).toContain(rkt.good);
  expect(manifest).not.toContain(rkt.evil);
});

test("other labels in the index than in the signed archive are found out", () => {
  using rkt = stocked();
  const record = readFileSync(rkt.record(rkt.good), "utf8").replace('"1.0.0"', '"2.0.0"');
  writeFileSync(rkt.record(rkt.good), record);
  Bun.spawnSync(["rm", join(rkt.dataDir, "cas/verified", `${rkt.good}.json`)]);
  const { status, stderr } = rkt.run(["prepare", "--quiet", "--pull-policy=never", "example.com/app:2.0.0"]);
  expect(status).toBe(254);
  expect(stderr).toContain("with other labels than recorded");
});
