/** What fly does with the parts of a pod that it can honour, and what it says about the rest. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";

describe("fly", () => {
  let rkt: TestRkt;
  let image: string;
  const run = (flags: string[], script: string, appFlags: string[] = []) =>
    rkt.run([
      ...["--insecure-options=image", "run", "--stage1-name=coreos.com/rkt/stage1-fly", ...flags, image, "--name=app"],
      ...["--exec=/bin/sh", ...appFlags, "--", "-c", script],
    ]);

  beforeAll(() => {
    rkt = testRkt();
    const aci = join(rkt.dir, "app.aci");
    buildAci(aci, {}, { "links/climbing": { link: "../../../../../etc" }, "links/dangling": { link: "/made" } });
    image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("tmpfs volumes, read-only roots, groups by name, output that goes nowhere", () => {
    const flags = ["--volume=t,kind=tmpfs,size=1Mi", "--mount=volume=t,target=/t"];
    const script =
      "grep ' /t ' /proc/mounts; touch /t/x && echo volume; touch /x || echo root; id -G; echo unheard >&2";
    const { stdout, stderr } = run(flags, script, [
      "--readonly-rootfs=true",
      "--supplementary-gids=nogroup,7",
      "--stderr=null",
    ]);
    expect(stdout).toMatch(/^\S+ \/t tmpfs rw,nosuid,nodev,.*size=1024k/m);
    expect(stdout).toContain("volume\nroot\n0 7 65534\n");
    expect(stderr).not.toContain("unheard");
  });

  test("targets stay in the root, and a volume at /etc gets no files of rkt's", () => {
    const source = join(rkt.dir, "etc");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "of the host\n");
    const volume = `--volume=v,kind=host,source=${source}`;
    for (const [target, seen] of [
      ["/links/climbing/x", "/etc/x/file"],
      ["/links/dangling", "/made/file"],
      ["/etc", "/etc/file"],
    ])
      expect(run([volume, `--mount=volume=v,target=${target}`, "--dns=192.0.2.1"], `cat ${seen}`).stdout).toBe(
        "of the host\n",
      );
    expect(readdirSync(source)).toEqual(["file"]);
  });

  test("what it does not do is said, for each isolator and handler", () => {
    const app = {
      exec: ["/bin/true"],
      user: "0",
      group: "0",
      isolators: [{ name: "resource/memory", value: { limit: "64M" } }],
      eventHandlers: [{ name: "pre-start", exec: ["/bin/true"] }],
    };
    const file = join(rkt.dir, "pod.json");
    const isolators = [{ name: "resource/pids", value: { limit: "5" } }];
    const manifest = {
      acKind: "PodManifest",
      acVersion: "1.30.0",
      isolators,
      apps: [{ name: "a", image: { id: image }, app }],
    };
    writeFileSync(file, JSON.stringify(manifest));
    const words = [
      "--insecure-options=image",
      "run",
      "--stage1-name=coreos.com/rkt/stage1-fly",
      "--pod-manifest",
      file,
    ];
    const { stderr, status } = rkt.run(words);
    for (const text of ["resource/memory of app", "resource/pids of the pod", "its pre-start handler has no effect"])
      expect(stderr).toContain(text);
    expect(status).toBe(0);
  });

  test("--debug tells the plan, without the arguments", () => {
    const { stderr } = rkt.run([
      "--debug",
      "--insecure-options=image",
      "run",
      "--stage1-name=coreos.com/rkt/stage1-fly",
      image,
      "--exec=/bin/echo",
      "--",
      "secret-word",
    ]);
    expect(stderr).toContain('stage1: app busybox: "/bin/echo" and 1 argument as user "0"');
    expect(stderr).not.toContain("secret-word");
  });
});
