/** Pods on a host with systemd: registered with machined, in the unit and slice that rkt was started in, with their journal. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type BootedDebian, bootDebian } from "../harness/booted-debian.ts";
import { buildAci } from "../harness/images.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

describe("on a host with systemd", () => {
  let files: TemporaryDirectory;
  let machine: BootedDebian;
  let image: string;
  const rkt = (...args: string[]) => ["rkt", "--insecure-options=image", ...args];

  beforeAll(async () => {
    files = temporaryDirectory("booted");
    buildAci(join(files.path, "app.aci"));
    machine = await bootDebian({ binds: { "/opt/files": files.path } });
    image = machine.ok(rkt("fetch", "--full", "/opt/files/app.aci")).trim();
  });
  afterAll(() => {
    machine?.[Symbol.dispose]();
    files[Symbol.dispose]();
  });

  for (const flavor of ["nspawn", "host"]) {
    describe(`the ${flavor} flavor`, () => {
      const run = (script: string, ...flags: string[]) =>
        rkt(
          "run",
          `--stage1-name=coreos.com/rkt/stage1-${flavor}`,
          "--net=none",
          ...flags,
          image,
          "--exec=/bin/sh",
          "--",
          "-c",
          script,
        );

      test("gives back output and status", () => {
        const result = machine.run(run("echo out; echo err >&2; exit 7"));
        expect(result).toMatchObject({ status: 7 });
        expect(result.stdout).toContain("out");
      });
    });
  }
});
