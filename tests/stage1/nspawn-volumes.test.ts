/** Volumes and mounts in an nspawn pod, seen from inside. Needs root. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

describe("volumes of an nspawn pod", () => {
  let rkt: TestRkt;
  let image: string;
  let hostile: string;
  let count = 0;
  const mounted: string[] = [];
  const run = (flags: string[], script: string, appFlags: string[] = [], which = image) =>
    rkt.run([
      ...["--insecure-options=image", "run", "--net=none", ...flags, which, "--name=app", "--exec=/bin/sh"],
      ...[...appFlags, "--", "-c", script],
    ]);
  const lines = (text: string) => text.split(/\r?\n/).filter((line) => line !== "");
  /** A directory of the host with a file in it. */
  const source = () => {
    count += 1;
    const path = join(rkt.dir, `source-${count}`);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "of the host\n");
    return path;
  };
  const mountTmpfs = (path: string) => {
    mkdirSync(path, { recursive: true });
    runProgram(["mount", "-t", "tmpfs", "tmpfs", path]);
    mounted.push(path);
    writeFileSync(join(path, "below"), "of the sub-mount\n");
  };
  /** An image with such a manifest and such files on top of busybox. */
  const imageWith = (manifest: Parameters<typeof buildAci>[1], files: Parameters<typeof buildAci>[2]) => {
    count += 1;
    const aci = join(rkt.dir, `image-${count}.aci`);
    buildAci(aci, manifest, files);
    return rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  };

  beforeAll(() => {
    rkt = testRkt();
    image = imageWith({}, {});
    hostile = imageWith(
      { name: "example.com/hostile" },
      {
        "links/absolute": { link: "/etc" },
        "links/climbing": { link: "../../../../../../../../etc" },
        "links/dangling": { link: "/made/here" },
        "links/loop": { link: "loop" },
        "links/file": "a file",
        "etc/resolv.conf": { link: "../run/resolvconf/resolv.conf" },
      },
    );
  });
  afterEach(() => {
    for (const path of mounted.splice(0).reverse()) spawnSync("umount", ["-l", path]);
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("empty: owner and mode as asked, shared by the apps of a pod, gone with it", () => {
    const result = rkt.run([
      ...["--insecure-options=image", "run", "--net=none", "--volume=v,kind=empty,mode=0750,uid=7,gid=8"],
      ...[image, "--name=a", "--mount=volume=v,target=/v", "--exec=/bin/sh"],
      ...["--", "-c", "stat -c '%a %u %g' /v; echo from a > /v/word", "---"],
      ...[image, "--name=b", "--mount=volume=v,target=/other", "--exec=/bin/sh"],
      ...["--", "-c", "until [ -s /other/word ]; do sleep 0.05; done; cat /other/word"],
    ]);
    expect(lines(result.stdout).sort()).toEqual(["750 7 8", "from a"]);
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(readdirSync(join(rkt.dataDir, "pods/run"))).toEqual([]);
  });

  test("tmpfs: of the size asked for, in memory, shared by the apps, read-only for one of them", () => {
    const script =
      "grep ' /v ' /proc/mounts; dd if=/dev/zero of=/v/big bs=64k count=100; stat -c '%a %u' /v; ls -s /v/big";
    const { stdout } = run(["--volume=v,kind=tmpfs,size=1Mi,mode=0700,uid=5", "--mount=volume=v,target=/v"], script);
    expect(stdout).toMatch(/^\S+ \/v tmpfs rw,nosuid,nodev,.*size=1024k/m);
    expect(stdout).toContain("No space left on device");
    expect(stdout).toContain("700 5");
    expect(Number(/(\d+) \/v\/big/.exec(stdout)?.[1])).toBeLessThanOrEqual(1024);
    const shared = rkt.run([
      ...["--insecure-options=image", "run", "--net=none", "--volume=v,kind=tmpfs"],
      ...[image, "--name=a", "--mount=volume=v,target=/v", "--exec=/bin/sh", "--", "-c", "echo word > /v/w", "---"],
      ...[image, "--name=b", "--mount=volume=v,target=/w", "--exec=/bin/sh"],
      ...["--", "-c", "until [ -s /w/w ]; do sleep 0.05; done; cat /w/w"],
    ]);
    expect(lines(shared.stdout)).toEqual(["word"]);
  });

  test("a host path that does not exist is told before a pod is made", () => {
    rkt.ok(["gc", "--grace-period=0s"]);
    run(["--volume=v,kind=host,source=/nowhere/at/all", "--mount=volume=v,target=/v"], "true");
    expect(rkt.pods()).toEqual([]);
  });

  test("a device of the host can be used when it is a volume, and only as far as asked", () => {
    const file = join(rkt.dir, "disk.img");
    writeFileSync(file, Buffer.alloc(1 << 20, "disk "));
    const loop = runProgram(["losetup", "--find", "--show", file]).trim();
    try {
      const { rdev } = statSync(loop);
      const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
      const script = [
        "head -c 9 /dev/mine; echo",
        "echo written > /dev/mine && echo could write",
        // The same device by a node of the app's own: the policy knows devices, not names.
        `mknod /dev/own b ${major} ${minor} && head -c 4 /dev/own; echo done`,
      ].join("; ");
      const flags = (readOnly: boolean) => [
        `--volume=disk,kind=host,source=${loop},readOnly=${readOnly}`,
        "--mount=volume=disk,target=/dev/mine",
      ];
      const writable = run(flags(false), script).stdout;
      expect(writable).toContain("disk disk");
      expect(writable).toContain("could write");
      const readOnly = run(flags(true), script).stdout;
      expect(readOnly).toContain("written\n".trim());
      expect(readOnly).not.toContain("could write");
      expect(readOnly).toContain("done");
      const without = run([], `mknod /dev/own b ${major} ${minor}; head -c 4 /dev/own; echo done`).stdout;
      expect(without).not.toContain("disk");
      expect(without).toContain("done");
    } finally {
      runProgram(["losetup", "--detach", loop]);
    }
  });

  test("a mount point without a volume has the image's content, is writable, also under a read-only root", () => {
    const layout = join(rkt.dir, "layout");
    buildBusyboxOci(layout, {
      volumes: ["/var/lib/data", "/var/lib/none"],
      layers: [{ "var/lib/data/seed": "of the image\n", "other/file": "x" }],
    });
    const script =
      "cat /var/lib/data/seed; echo new > /var/lib/data/new && echo > /var/lib/none/x && echo wrote; touch /other/new; touch /tmp/x; true";
    for (const flags of [[], ["--readonly-rootfs=true"]]) {
      const result = run([], script, flags, `oci:${layout}`);
      expect(result.stdout).toContain("of the image");
      expect(result.stdout).toContain("wrote");
      expect(result.stdout.includes("Read-only file system")).toBe(flags.length > 0);
    }
  });

  test("under a read-only root volumes are as they are asked to be, and the rest is not writable", () => {
    const flags = [`--volume=v,kind=host,source=${source()}`, "--mount=volume=v,target=/v"];
    const script =
      "touch /v/new && echo volume; touch /new || echo root; touch /dev/new && echo dev; cat /etc/hostname";
    for (const overlay of [[], ["--no-overlay"]]) {
      const { stdout } = run([...overlay, ...flags], script, ["--readonly-rootfs=true"]);
      expect(lines(stdout).filter((line) => /^(volume|root|dev|rkt-.*)$/.test(line))).toHaveLength(4);
    }
  });

  test("what the host mounts below a volume later is seen in the app, and nothing of the pod on the host", async () => {
    const path = source();
    runProgram(["mount", "--bind", path, path]);
    mounted.push(path);
    runProgram(["mount", "--make-shared", path]);
    mkdirSync(join(path, "later"));
    const running = rkt.start([
      ...["--insecure-options=image", "run", "--net=none", `--volume=v,kind=host,source=${path}`],
      ...[image, "--mount=volume=v,target=/v", "--exec=/bin/sh"],
      ...["--", "-c", "echo up; until [ -e /v/later/below ]; do sleep 0.05; done; cat /v/later/below"],
    ]);
    await until("the app's first line", () => running.stdout().includes("up"));
    mountTmpfs(join(path, "later"));
    expect((await running.ended).stdout).toContain("of the sub-mount");
    expect(
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(`${path}/`)),
    ).toHaveLength(1);
  });

  test("below /sys, and not below /proc", () => {
    const at = (target: string) =>
      run([`--volume=v,kind=host,source=${source()}`, `--mount=volume=v,target=${target}`], "cat /sys/fs/mine/file");
    expect(lines(at("/sys/fs/mine").stdout)).toEqual(["of the host"]);
    expect(at("/proc/mine")).toMatchObject({
      status: 254,
      stderr: expect.stringContaining('Cannot mount volume "v" at "/proc/mine" of app "app": "/proc" is the kernel\'s'),
    });
  });

  test("each app has a /dev of its own, with shared memory in common and the usual links", () => {
    const script = "rm /dev/null; ln -s /rkt/env/x /dev/null; echo shared > /dev/shm/word; echo done";
    const result = rkt.run([
      ...["--insecure-options=image", "run", "--net=none"],
      ...[image, "--name=a", "--exec=/bin/sh", "--", "-c", script, "---"],
      ...[image, "--name=b", "--exec=/bin/sh", "--", "-c"],
      "until [ -s /dev/shm/word ]; do sleep 0.05; done; cat /dev/shm/word; stat -c '%F %t:%T %a' /dev/null; ls -l /dev | wc -l; for l in /dev/fd /dev/ptmx /etc/mtab; do readlink $l; done; echo > /dev/null && head -c 3 /dev/zero | od -An -tx1",
    ]);
    expect(lines(result.stdout)).toEqual(
      expect.arrayContaining([
        "done",
        "shared",
        "character special file 1:3 666",
        "/proc/self/fd",
        "pts/ptmx",
        "../proc/self/mounts",
        " 00 00 00",
      ]),
    );
    expect(result.status).toBe(0);
    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test("a resolv.conf of the image that is a link to nowhere does not matter", () => {
    const result = run(["--dns=192.0.2.1"], "cat /etc/resolv.conf; ls /run/resolvconf", [], hostile);
    expect(result.stdout).toContain("nameserver 192.0.2.1");
  });
});
