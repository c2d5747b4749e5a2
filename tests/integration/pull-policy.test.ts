/** When an image is fetched, and what is said when it is not there: fetch, run and prepare with every pull policy. Needs root, openssl, busybox-static, gpg, gpgv. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { type AppcSite, discoveryPage, startAppcSite } from "../harness/appc-site.ts";
import { buildAci, makeSigner } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(110_000);

const TAIL =
  "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled";
const URL_IMAGE = "https://images.example.com/example.com/app.aci";
const FLY = "--stage1-from-dir=stage1-fly.aci";

let dir: TemporaryDirectory;
let site: AppcSite;
let id = "";

beforeAll(async () => {
  dir = temporaryDirectory("policy");
  site = await startAppcSite(dir.path);
  const path = join(dir.path, "app.aci");
  id = `sha512-${buildAci(path, { name: "example.com/app" }).slice(0, 64)}`;
  site.pages.set(
    "https://example.com",
    discoveryPage(["ac-discovery", "example.com", URL_IMAGE.replace(".aci", ".{ext}")]),
  );
  site.pages.set(URL_IMAGE, { body: readFileSync(path), headers: { etag: '"1"' } });
});

afterAll(() => {
  site?.stop();
  dir?.[Symbol.dispose]();
});

/** Runs rkt; tells whether the site was asked for the image. */
async function ask(rkt: TestRkt, command: string, flags: readonly string[], image: string) {
  site.requests.length = 0;
  const stage1 = command === "fetch" ? [] : [FLY];
  const args = ["--insecure-options=image", "--debug", command, ...stage1, ...flags, image];
  const result = await rkt.start(args, { env: site.env }).ended;
  return { ...result, asked: site.requests.includes(`GET ${URL_IMAGE}`) };
}

describe.each(["fetch", "run", "prepare"])("rkt %s", (command) => {
  test.each([
    ["example.com/app:9", 'unable to fetch image from image name "example.com/app:9'],
    [URL_IMAGE, `unable to fetch image from URL "${URL_IMAGE}"`],
    ["docker://busybox:1", 'unable to fetch docker image from URL "docker://busybox:1"'],
  ])("never, and --store-only: %s is said not to be there", async (image, words) => {
    using rkt = testRkt();
    for (const flag of ["--pull-policy=never", "--store-only"]) {
      const { status, stderr, asked } = await ask(rkt, command, [flag], image);
      expect({ status, asked }).toEqual({ status: 254, asked: false });
      expect(stderr).toContain(`${command}: ${words}`);
      expect(stderr).toContain(TAIL);
      if (flag === "--store-only")
        expect(stderr).toContain("Flag --store-only has been deprecated, please use --pull-policy=never");
    }
  });
});

describe.each(["example.com/app", URL_IMAGE])("%s", (image) => {
  test("fetch asks each time, prepare only when the store has nothing", async () => {
    using rkt = testRkt();
    const from = image === URL_IMAGE ? `url ${URL_IMAGE}` : "image name example.com/app";
    expect(await ask(rkt, "prepare", [], image)).toMatchObject({ status: 0, asked: true });
    const stored = await ask(rkt, "prepare", [], image);
    expect(stored).toMatchObject({ status: 0, asked: false });
    expect(stored.stderr).toContain(`image: using image from local store for ${from}`);
    expect(await ask(rkt, "prepare", ["--pull-policy=update"], image)).toMatchObject({ status: 0, asked: true });
    const noStore = await ask(rkt, "prepare", ["--no-store"], image);
    expect(noStore).toMatchObject({ status: 0, asked: true });
    expect(noStore.stderr).toContain("Flag --no-store has been deprecated, please use --pull-policy=update");
    expect(await ask(rkt, "fetch", [], image)).toMatchObject({ status: 0, asked: true });
    for (const flags of [["--pull-policy=new"], ["--pull-policy=never"], ["--store-only"]])
      expect(await ask(rkt, "fetch", flags, image)).toMatchObject({ status: 0, asked: false });
    expect(rkt.ok(["fetch", "--full", "--pull-policy=never", id]).trim()).toBe(id);
  });
});

test("a word that is no policy, and two that exclude each other", () => {
  using rkt = testRkt();
  expect(rkt.run(["fetch", "--pull-policy=often", "example.com/app"]).stderr).toContain(
    'Cannot use "often" for --pull-policy: expected never, new or update',
  );
  expect(rkt.run(["fetch", "--store-only", "--no-store", "example.com/app"]).stderr).toContain(
    "both --store-only and --no-store specified",
  );
});

test("a damaged archive in the store is replaced by the next fetch", () => {
  using rkt = testRkt();
  using signer = makeSigner();
  const path = join(rkt.dir, "app.aci");
  buildAci(path, { name: "example.com/app" }, {}, { busybox: false });
  signer.sign(path, `${path}.asc`);
  const key = join(rkt.dir, "key");
  writeFileSync(key, signer.publicKey);
  rkt.ok(["trust", "--prefix=example.com", "--skip-fingerprint-review", key]);
  rkt.ok(["fetch", path]);
  const hex = new Bun.CryptoHasher("sha512").update(readFileSync(path)).digest("hex");
  const blob = new DataDir(rkt.dataDir).blob({ algorithm: "sha512", hex });
  const { length } = readFileSync(blob);
  truncateSync(blob, 10);
  truncateSync(blob, length);
  expect(rkt.run(["--debug", "fetch", path]).stderr).toContain("fetching the image anew");
  expect(readFileSync(blob).equals(readFileSync(path))).toBe(true);
});
