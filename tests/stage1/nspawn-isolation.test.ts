/** What keeps apps of an nspawn pod within their limits, proved by its effect: a limit that is merely written down may do nothing. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";

describe("isolation in an nspawn pod", () => {
  let rkt: TestRkt;
  let image: string;
  const uuid = () => readFileSync(join(rkt.dir, "uuid"), "utf8");
  const command = (podFlags: string[], appFlags: string[], script: string) => [
    ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${join(rkt.dir, "uuid")}`, ...podFlags],
    ...[image, "--name=app", "--exec=/bin/sh", ...appFlags, "--", "-c", script],
  ];
  const run = (podFlags: string[], appFlags: string[], script: string) => rkt.run(command(podFlags, appFlags, script));
  const volume = () => {
    mkdirSync(join(rkt.dir, "volume"), { recursive: true });
    writeFileSync(join(rkt.dir, "volume/file"), "of the volume\n");
    return `--volume=v,kind=host,source=${join(rkt.dir, "volume")}`;
  };

  beforeAll(() => {
    rkt = testRkt();
    image = fetchedAci(
      rkt,
      {},
      { "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", marker: "app\n" },
    );
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("--cpu slows down", () => {
    // User and system time of a loop against the time that passes: a tenth of a core takes several times as long.
    const script =
      "read a x < /proc/uptime; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read b x < /proc/uptime; echo $a $b; times";
    const { stdout } = run([], ["--cpu=100m"], script);
    const [start = 0, end = 0] = (/^([\d.]+) ([\d.]+)/m.exec(stdout)?.slice(1) ?? []).map(Number);
    const used = [...stdout.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
      (sum, time) => sum + Number(time[1]) * 60 + Number(time[2]),
      0,
    );
    expect(end - start).toBeGreaterThan(2 * used);
  });

  test("the whole pod is filtered, its init too, unless the operator switched the filters off", () => {
    const filters = (flags: string[]) =>
      rkt
        .ok([...flags, ...command([], [], "grep ^Seccomp: /proc/1/status /proc/self/status").slice(1)])
        .match(/\d+(?=\r?\n)/g);
    expect(filters(["--insecure-options=image"])).toEqual(["2", "2"]);
    // systemd-nspawn's own filter stays: that option is about the apps.
    expect(filters(["--insecure-options=image,seccomp"])).toEqual(["2", "2"]);
  });

  for (const target of ["/usr", "/rkt", "/etc", '/with space:colon"quote']) {
    test(`a volume at ${target} is the app's alone: the pod's own files stay, and the status comes back`, () => {
      const result = run([volume()], [`--mount=volume=v,target=${target}`], `cat '${target}/file'; exit 7`);
      expect(result.stdout).toContain("of the volume");
      expect(result.status).toBe(7);
      expect(rkt.ok(["status", uuid()])).toContain("app-app=7");
    });
  }

  test("/sys is read-only, unless the operator gave the protection of paths up", () => {
    const sys = (options: string) =>
      rkt.run(
        [`--insecure-options=${options}`, "run", "--net=none", image, "--exec=/bin/sh", "--"].concat([
          ...["-c", "grep -o ' /sys sysfs r[ow]' /proc/self/mounts; ls -d /sys/module/* 2> /dev/null"],
        ]),
      ).stdout;
    expect(sys("image")).toMatch(/^ \/sys sysfs ro\r?\n$/);
    expect(sys("image,paths")).toMatch(/^ \/sys sysfs rw\r?\n(.*\/sys\/module\/.+\r?\n)+$/);
  });

  test("event handlers run as root in the app's root, with the app's capabilities", () => {
    const handler = (name: string, script: string) => ({ name, exec: ["/bin/sh", "-c", script] });
    const app = {
      exec: ["/bin/sh", "-c", "echo main $(id -u)"],
      user: "1000",
      group: "1000",
      isolators: [{ name: "os/linux/capabilities-retain-set", value: { set: ["CAP_KILL"] } }],
      eventHandlers: [
        handler("pre-start", "echo pre $(id -u) $(cat /marker) $(grep CapBnd /proc/self/status)"),
        handler("post-stop", "echo post $(cat /marker)"),
      ],
    };
    const file = join(rkt.dir, "pod.json");
    const manifest = { acKind: "PodManifest", acVersion: "0.8.11", apps: [{ name: "h", image: { id: image }, app }] };
    writeFileSync(file, JSON.stringify(manifest));
    const result = rkt.run(["--insecure-options=image", "run", "--net=none", "--pod-manifest", file]);
    const words = result.stdout.split(/[\r\n]+/).map((line) => line.trim().split(/\s+/).join(" "));
    expect(words.filter((line) => line !== "")).toEqual([
      "pre 0 app CapBnd: 0000000000000020",
      "main 1000",
      "post app",
    ]);
    expect(result.status).toBe(0);
  });

  test("a command that is entered has the app's volumes, capabilities and limits, and no more", async () => {
    const running = rkt.start(
      command(
        [volume(), "--mount=volume=v,target=/data"],
        ["--caps-retain=CAP_KILL", "--memory=64M"],
        "echo up; sleep 60",
      ),
    );
    await until("the app's first line", () => running.stdout().includes("up"));
    const entered = rkt.run(
      ["enter", uuid(), "/bin/sh", "-c", "cat; cat /data/file; grep CapBnd /proc/self/status; exit 5"],
      {
        input: "from outside\n",
      },
    );
    expect(entered.stdout).toBe("from outside\nof the volume\nCapBnd:\t0000000000000020\n");
    expect(entered.status).toBe(5);
    expect(rkt.run(["enter", uuid(), "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]).status).toBe(
      137,
    );
    expect(rkt.run(["enter", uuid(), "/nowhere"]).status).toBe(127);
    expect(rkt.run(["enter", uuid(), "nowhere"])).toMatchObject({
      status: 127,
      stderr: expect.stringContaining('Unable to find "nowhere" in "'),
    });
    expect(rkt.ok(["list", "--no-legend"])).toContain("running");
    running.kill("SIGTERM");
    // The app was asked to end: its own status is recorded, the pod has not failed.
    expect((await running.ended).status).toBe(0);
    expect(rkt.ok(["status", uuid()])).toContain("app-app=143");
  });
});
