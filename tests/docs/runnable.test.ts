/**
 * Every shell block of the documents that is marked as runnable (```sh runnable) is run: those of a page one after the other in one shell, with a data directory and a configuration
 * of their own, and a registry on loopback that answers for registry.example.com. Needs root, and what tools/setup.sh sets up for "test". `make test-docs`, which gives them a network of their own.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DEBIAN_TAG, debianImage } from "../harness/debian-images.ts";
import { buildBusyboxOci } from "../harness/images.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { RKT, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const pages = [
  "README.md",
  ...readdirSync("docs", { recursive: true, encoding: "utf8" }).map((name) => join("docs", name)),
]
  .filter((name) => name.endsWith(".md"))
  .map((name) => [name, blocksOf(readFileSync(name, "utf8"))] as const)
  .filter(([, blocks]) => blocks.length > 0);

function blocksOf(text: string): string[] {
  return [...text.matchAll(/^```sh runnable\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
}

let registry: TestRegistry;

beforeAll(async () => {
  registry = await startRegistry();
  using rkt = testRkt();
  const busybox = join(rkt.dir, "busybox");
  buildBusyboxOci(busybox);
  registry.push(busybox, "latest", "busybox:1.36");
  registry.push(debianImage("nginx"), DEBIAN_TAG, "nginx:1.28");
});
afterAll(() => registry?.[Symbol.dispose]());

test("there are pages with blocks that run", () => {
  expect(pages.map(([name]) => name)).toContain("docs/getting-started.md");
});

test.each(pages)("the blocks of %s", (_, blocks) => {
  using rkt = testRkt();
  const registries = join(rkt.configDir, "registries.d");
  mkdirSync(registries);
  const rule = { prefix: "registry.example.com", mirrors: [{ location: registry.host, insecure: true }] };
  const kind = { rktKind: "registries", rktVersion: "v1", registries: [rule] };
  writeFileSync(join(registries, "docs.json"), JSON.stringify(kind), { mode: 0o644 });
  const bin = join(rkt.dir, "bin");
  const work = join(rkt.dir, "work");
  for (const directory of [bin, work]) mkdirSync(directory, { mode: 0o755 });
  chmodSync(rkt.dir, 0o755);
  writeFileSync(join(bin, "rkt"), `#!/bin/sh\nexec ${RKT} ${rkt.globals.join(" ")} "$@"\n`);
  chmodSync(join(bin, "rkt"), 0o755);
  const script = ["set -euo pipefail", ...blocks.flatMap((block, index) => [`echo "-- block ${index + 1}"`, block])];
  const result = spawnSync("bash", ["-c", script.join("\n")], {
    cwd: work,
    encoding: "utf8",
    timeout: 280_000,
    env: {
      ...{ PATH: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: work, TERM: "dumb" },
      ...{ LC_ALL: "C.UTF-8", CLONE: resolve("."), STAGE1: resolve("build") },
    },
  });
  const shown = `${result.stdout}\n${result.stderr}`;
  if (process.env["SHOW"] !== undefined) console.log(shown);
  if (result.status !== 0) throw new Error(`status ${result.status ?? result.signal}:\n${shown}`);
});
