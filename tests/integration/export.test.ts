/** `rkt export` of real pods. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { mountsBelow, type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

describe("export", () => {
  let rkt: TestRkt;
  let image: string;
  const ended = (flags: string[], ...apps: string[][]) => {
    const uuidFile = join(rkt.dir, "uuid");
    rkt.run([
      "--insecure-options=image",
      "run",
      "--net=none",
      `--uuid-file-save=${uuidFile}`,
      ...flags,
      ...apps.flat(),
    ]);
    return readFileSync(uuidFile, "utf8");
  };
  const script =
    "rm /gone; echo new > /made; echo changed > /kept; mkdir /etc2; ln /made /etc2/linked; mv /marker /moved; exit 3";
  const app = (name: string) => [image, `--name=${name}`, "--exec=/bin/sh", "--", "-c", script, "---"];
  const output = () => join(rkt.dir, `out-${Math.random()}.aci`);

  beforeAll(() => {
    rkt = testRkt();
    const aci = join(rkt.dir, "app.aci");
    const files = {
      "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
      "etc/group": "root:x:0:\n",
      gone: "g\n",
      kept: "k\n",
      marker: "m\n",
    };
    buildAci(aci, {}, files);
    image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  });
  afterAll(() => rkt[Symbol.dispose]());

  for (const flags of [[], ["--no-overlay"]]) {
    test(`an app with what it changed, which runs again (${flags.join(" ") || "overlay"})`, () => {
      const uuid = ended(flags, app("one"));
      const file = output();
      rkt.ok(["export", uuid, file]);
      const unpacked = join(rkt.dir, `unpacked${flags.length}`);
      mkdirSync(unpacked);
      runProgram(["tar", "-xzf", file, "-C", unpacked]);
      const read = (path: string) => readFileSync(join(unpacked, "rootfs", path), "utf8");
      expect([read("made"), read("kept"), read("etc2/linked"), read("moved")]).toEqual([
        "new\n",
        "changed\n",
        "new\n",
        "m\n",
      ]);
      expect(existsSync(join(unpacked, "rootfs/gone"))).toBe(false);
      expect(existsSync(join(unpacked, "rootfs/marker"))).toBe(false);
      expect(
        rkt.ok(["--insecure-options=image", "run", "--net=none", file, "--exec=/bin/cat", "--", "/made"]),
      ).toContain("new");
      expect(mountsBelow(rkt.dataDir.concat("/tmp"))).toEqual([]);
      expect(readdirSync(join(rkt.dataDir, "tmp"))).toEqual([]);
    });
  }

  test("one of several apps, by name", () => {
    const uuid = ended([], app("one"), app("two"));
    const refused = rkt.run(["export", uuid, output()]);
    expect(refused).toMatchObject({ status: 254 });
    expect(refused.stderr).toContain("pod contains multiple apps:\n\tone\n\ttwo\n");
    expect(refused.stderr).toContain('specify app using "rkt export --app= ..."');
    expect(rkt.run(["export", "--app=three", uuid, output()]).stderr).toContain('app "three" is not present in pod');
    rkt.ok(["export", "--app=two", uuid, output()]);
  });

  test("after a reboot, when nothing is mounted any more", () => {
    const uuid = ended([], app("one"));
    for (const mount of mountsBelow(join(rkt.dataDir, "pods/run", uuid)).reverse()) runProgram(["umount", mount]);
    const file = output();
    rkt.ok(["export", uuid, file]);
    expect(runProgram(["tar", "-xzOf", file, "rootfs/kept"])).toBe("changed\n");
  });

  test("refuses other files, existing ones, and pods that have not ended", () => {
    const uuid = rkt.ok(["--insecure-options=image", "prepare", image, "--name=app", "--exec=/bin/true"]).trim();
    const file = output();
    expect(rkt.run(["export", uuid, file]).stderr).toContain("pod is not exited. Only exited pods can be exported");
    expect(rkt.run(["export", uuid, "/tmp/x.tar"]).stderr).toContain("extension must be .aci (given /tmp/x.tar)");
    expect(existsSync(file)).toBe(false);
    const done = ended([], app("one"));
    rkt.ok(["export", done, file]);
    expect(rkt.run(["export", done, file]).stderr).toContain("target file exists (try --overwrite)");
    rkt.ok(["export", "--overwrite", done, file]);
  });
});
