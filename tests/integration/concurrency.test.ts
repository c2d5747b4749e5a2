/** Many at once, on an empty store: they share downloads and rendered layers, keep addresses apart, and all succeed. Needs root, docker-registry and skopeo. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type Result, type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const MANY = 10;

let images: TemporaryDirectory;
let registry: TestRegistry;
let aci: string;
let layout: string;

beforeAll(async () => {
  images = temporaryDirectory("concurrency");
  layout = join(images.path, "layout");
  aci = join(images.path, "app.aci");
  buildBusyboxOci(layout, { layers: [{ "data/one": randomBytes(2_000_000) }, { "data/two": randomBytes(2_000_000) }] });
  buildAci(aci, {}, { "data/one": randomBytes(2_000_000) });
  registry = await startRegistry();
  registry.push(layout, "latest", "app:latest");
});
afterAll(() => {
  registry?.stop();
  images?.[Symbol.dispose]();
});

async function manyTimes(rkt: TestRkt, args: (index: number) => readonly string[]): Promise<Result[]> {
  return Promise.all(Array.from({ length: MANY }, (_, index) => rkt.start(args(index)).ended));
}

/** Shown whole when one of them failed. */
function statuses(results: readonly Result[]): (number | string)[] {
  return results.map(({ status, stderr }) => (status === 254 ? stderr : status));
}

const rendered = (rkt: TestRkt) => readdirSync(join(rkt.dataDir, "cas/layer")).length;

describe("ten fetches of one image at once, into a store that does not exist yet", () => {
  for (const [name, reference] of [
    ["from a registry", () => `docker://${registry.host}/app`],
    ["of a file", () => aci],
    ["of a layout", () => `oci:${layout}`],
  ] as const) {
    test(name, async () => {
      using rkt = testRkt();
      const results = await manyTimes(rkt, () => ["--insecure-options=image,http", "fetch", "--full", reference()]);
      expect(statuses(results)).toEqual(Array(MANY).fill(0));
      const ids = new Set(results.map(({ stdout }) => stdout.trim()));
      expect(ids.size).toBe(1);
      const [id = ""] = ids;
      expect(rkt.ok(["image", "list", "--full", "--no-legend", "--fields=id"]).trim()).toBe(id);
      // Nothing half downloaded; the records of registries' manifests are kept on purpose.
      const left = readdirSync(join(rkt.dataDir, "cas/tmp")).filter((name) => !/^manifest-\w+\.json$/.test(name));
      expect(left).toEqual([]);
      const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
      const run = ["--insecure-options=image", "run", fly, id, "--exec=/bin/sh", "--", "-c", "wc -c < /data/one"];
      expect(rkt.run(run)).toMatchObject({ status: 0, stdout: "2000000\n" });
    });
  }
});

describe("ten runs at once, on an empty store: all fetch and unpack the same image and stage1", () => {
  for (const [flavor, flags] of [
    ["fly", ["--stage1-name=coreos.com/rkt/stage1-fly"]],
    ["nspawn with the default network", []],
  ] as const) {
    test(flavor, async () => {
      using rkt = testRkt();
      using scope = censusScope([join(rkt.dataDir, "pods")]);
      // The bridge's and the plugins' own files are there before: what stays after any pod is no leak.
      rkt.run(["--insecure-options=image", "run", "/nowhere.aci"]);
      const before = takeCensus(scope);
      const show = "ip -4 -o address show dev eth0 2> /dev/null | sed 's/.*inet //; s/ .*//'; exit ";
      const results = await manyTimes(rkt, (index) => [
        ...["--insecure-options=image", "run", ...flags, aci, "--exec=/bin/sh", "--", "-c", `${show}${index}`],
      ]);
      expect(statuses(results)).toEqual(Array.from({ length: MANY }, (_, index) => index));
      if (flags.length === 0) {
        const addresses = results.map(({ stdout }) => stdout.trim());
        expect(addresses.every((address) => /^172\.16\.28\.\d+\/24$/.test(address))).toBe(true);
        expect(new Set(addresses).size).toBe(MANY);
      }
      expect(JSON.parse(rkt.ok(["list", "--format=json"])).length).toBe(MANY);
      // Each layer was rendered once, whoever did it: the image's, and the stage1's.
      expect(rendered(rkt)).toBe(2);
      expect(rkt.run(["gc", "--grace-period=0s"]).status).toBe(0);
      const left = (await leftBehind(scope, before)).filter(
        (line) => !/last_reserved_ip|\/networks\/default( |$|\/lock)/.test(line),
      );
      expect(left).toEqual([]);
    });
  }

  test("and ten gc at once collect ten pods, each pod once", async () => {
    using rkt = testRkt();
    const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
    const id = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
    await manyTimes(rkt, () => ["--insecure-options=image", "run", fly, id, "--exec=/bin/true"]);
    const results = await manyTimes(rkt, () => ["gc", "--grace-period=0s"]);
    expect(statuses(results)).toEqual(Array(MANY).fill(0));
    expect(rkt.pods()).toEqual([]);
    expect(runProgram(["find", join(rkt.dataDir, "pods"), "-mindepth", "2"])).toBe("");
  });
});
