/** Isolators of an nspawn pod and of its apps, proved by their effect. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

describe("limits of an nspawn pod", () => {
  let rkt: TestRkt;
  let image: string;
  const uuid = () => readFileSync(join(rkt.dir, "uuid"), "utf8");
  const command = (podFlags: string[], appFlags: string[], script: string) => [
    ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${join(rkt.dir, "uuid")}`, ...podFlags],
    ...[image, "--name=app", "--exec=/bin/sh", ...appFlags, "--", "-c", script],
  ];
  const run = (podFlags: string[], appFlags: string[], script: string) => rkt.run(command(podFlags, appFlags, script));
  /** Seconds that `work` took inside the pod. */
  const seconds = (podFlags: string[], appFlags: string[], work: string) => {
    const { stdout, stderr } = run(
      podFlags,
      appFlags,
      `read a x < /proc/uptime; ${work}; read b x < /proc/uptime; echo took $a $b`,
    );
    const [, start, end] = /^took ([\d.]+) ([\d.]+)/m.exec(stdout) ?? [];
    if (start === undefined || end === undefined) throw new Error(`${stdout}\n${stderr}`);
    return Number(end) - Number(start);
  };
  /** A file in a v1 cgroup of the pod; undefined on a host that has the controller elsewhere. */
  const control = (controller: string, path: string) => {
    const own = new RegExp(`^\\d+:${controller}:(.*)$`, "m").exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "";
    const file = join("/sys/fs/cgroup", controller, own, `rkt-${uuid()}`, path);
    return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
  };
  /** User and system time, as the shell's "times" prints them. */
  const usedSeconds = (times: string) =>
    [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, time) => sum + Number(time[1]) * 60 + Number(time[2]), 0);
  const BUSY = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

  beforeAll(() => {
    rkt = testRkt();
    image = fetchedAci(rkt);
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("a fork bomb stops at --pids, and the pod can be ended", async () => {
    const running = rkt.start(
      command([], ["--pids=40"], "echo up; bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done"),
    );
    await until("the bomb", () => /can't fork/.test(running.stdout()));
    const slice = "app.slice/app-app.slice";
    expect(control("pids", `${slice}/pids.max`)).toBe("40");
    expect(Number(control("pids", `${slice}/pids.current`))).toBeLessThanOrEqual(40);
    rkt.ok(["stop", "--force", uuid()]);
    await running.ended;
    expect(rkt.ok(["status", uuid()])).toContain("state=exited");
  });

  test("--pod-pids bounds all apps together", () => {
    const script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 3 & done; echo all started";
    expect(run(["--pod-pids=18"], [], script).stdout).toContain("can't fork");
    expect(run(["--pod-pids=60"], [], script).stdout).toContain("all started");
  });

  test("--pod-memory ends who takes too much, and status says why", () => {
    const hungry = run(["--pod-memory=48M"], [], "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    expect(hungry.status).toBe(137);
    const [app] = JSON.parse(rkt.ok(["status", "--format=json", uuid()])).apps;
    expect(app).toMatchObject({ exit_code: 137, signal: "SIGKILL", oom: true });
  });

  test("an app that is killed without having hit its limit is not reported as out of memory", () => {
    expect(run(["--pod-memory=200M"], ["--memory=100M"], "kill -9 $$; sleep 5").status).toBe(137);
    const [app] = JSON.parse(rkt.ok(["status", "--format=json", uuid()])).apps;
    expect(app).toMatchObject({ exit_code: 137, signal: "SIGKILL" });
    expect(app.oom ?? false).toBe(false);
  });

  test("--pod-cpu slows all apps down together", () => {
    // The time that a loop uses against the time that passes: a tenth of a core takes several times as long, however busy the machine is.
    const { stdout } = run(
      ["--pod-cpu=100m"],
      [],
      `read a x < /proc/uptime; ${BUSY}; read b x < /proc/uptime; echo took $a $b; times`,
    );
    const [, start = 0, end = 0] = (/^took ([\d.]+) ([\d.]+)/m.exec(stdout) ?? []).map(Number);
    expect(usedSeconds(stdout)).toBeGreaterThan(0);
    expect(end - start).toBeGreaterThan(2 * usedSeconds(stdout));
  });

  test("two busy apps share the processors as --cpu-shares says", () => {
    // Four loops each, so that every processor is always wanted by both.
    const busy = (name: string) =>
      `loop() { while [ ! -e /v/end ]; do :; done; }; loop & loop & loop & loop & wait; times > /tmp/times; echo ${name} $(cat /tmp/times)`;
    const app = (name: string, shares: string) => [
      ...[image, `--name=${name}`, `--cpu-shares=${shares}`, "--mount=volume=v,target=/v", "--exec=/bin/sh"],
      ...["--", "-c", busy(name)],
    ];
    const clock = [
      image,
      "--name=clock",
      "--mount=volume=v,target=/v",
      "--exec=/bin/sh",
      "--",
      "-c",
      "sleep 5; touch /v/end",
    ];
    const result = rkt.run([
      ...["--insecure-options=image", "run", "--net=none", "--volume=v,kind=tmpfs"],
      ...[...app("much", "4096"), "---", ...app("little", "64"), "---", ...clock],
    ]);
    const used = (name: string) => usedSeconds(new RegExp(`^${name} .*$`, "m").exec(result.stdout)?.[0] ?? "");
    expect(used("much")).toBeGreaterThan(0);
    expect(used("much")).toBeGreaterThan(2 * used("little"));
  });

  test("--block-bandwidth holds back reads from the disk", () => {
    const directory = join(rkt.dir, "disk");
    mkdirSync(directory);
    const file = join(directory, "file");
    writeFileSync(file, Buffer.alloc(4 << 20, "x"));
    // Out of the page cache, which knows no limit.
    const forget = () =>
      runProgram(["sh", "-c", 'sync "$1"; dd if="$1" iflag=nocache count=0 status=none', "sh", file]);
    const volume = [`--volume=v,kind=host,source=${directory}`, "--mount=volume=v,target=/v"];
    const read = "cat /v/file > /dev/null";
    forget();
    const free = seconds(volume, [], read);
    forget();
    const held = seconds(volume, ["--block-bandwidth=1M"], read);
    expect(held).toBeGreaterThan(2);
    expect(held).toBeGreaterThan(free);
    // Writes come under the same limit; here the kernel has them from the page cache, for which v1 accounts to nobody.
    expect(control("blkio", "app.slice/app-app.slice/blkio.throttle.write_bps_device") ?? " 1000000").toEndWith(
      " 1000000",
    );
  });

  test("--sysctl is the pod's own, and nothing of the host can be set", () => {
    const host = readFileSync("/proc/sys/kernel/msgmax", "utf8");
    const files = "/proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max";
    const flags = ["--sysctl=net.core.somaxconn=77", "--sysctl=kernel.msgmax=1234", "--sysctl=fs/mqueue/msg_max=33"];
    expect(run(flags, [], `cat ${files}; echo 5 > /proc/sys/kernel/msgmax`).stdout).toMatch(
      /^77\r?\n1234\r?\n33\r?\n.*Read-only/s,
    );
    expect(readFileSync("/proc/sys/kernel/msgmax", "utf8")).toBe(host);
    for (const [flag, why] of [
      ["kernel.panic=1", 'Cannot set "kernel.panic" for a pod'],
      ["net/../kernel/panic=1", "for a pod"],
      [
        "net.core.no_such_thing=1",
        'Cannot set "net.core.no_such_thing" to "1" for the pod: this kernel has no such setting',
      ],
      ["net.core.somaxconn=lots", "the kernel refuses it"],
    ] as const) {
      const result = run([`--sysctl=${flag}`], [], "true");
      expect(result.stderr).toContain(why);
      expect(result.status).toBe(254);
    }
    const shared = rkt.run(
      command(["--sysctl=net.core.somaxconn=77"], [], "true").map((word) =>
        word === "--net=none" ? "--net=host" : word,
      ),
    );
    expect(shared.stderr).toContain("with --net=host it is the host's");
  });

  test("--network-bandwidth holds back what the pod sends and receives", async () => {
    const SIZE = 3 << 20;
    let received = 0;
    const server = Bun.listen({
      hostname: "0.0.0.0",
      port: 0,
      socket: {
        data: (_socket, data) => {
          received += data.length;
        },
      },
    });
    const sender = Bun.serve({ hostname: "0.0.0.0", port: 0, fetch: () => new Response(Buffer.alloc(SIZE, "y")) });
    try {
      const gateway = "172.16.28.1";
      const script = [
        "read a x < /proc/uptime",
        `head -c ${SIZE} /dev/zero | nc -w 20 ${gateway} ${server.port}`,
        "read b x < /proc/uptime",
        `wget -q -O - http://${gateway}:${sender.port}/ | wc -c`,
        "read c x < /proc/uptime; echo took $a $b $c",
      ].join("; ");
      const running = rkt.start([
        ...["--insecure-options=image", "run", "--network-bandwidth=1M", image, "--exec=/bin/sh", "--", "-c", script],
      ]);
      const { stdout, stderr } = await running.ended;
      const [, a, b, c] = /^took ([\d.]+) ([\d.]+) ([\d.]+)/m.exec(stdout) ?? [stdout + stderr];
      expect(received).toBe(SIZE);
      expect(stdout).toContain(String(SIZE));
      // Three bursts' worth are free; the rest has to wait.
      expect(Number(b) - Number(a)).toBeGreaterThan(1.5);
      expect(Number(c) - Number(b)).toBeGreaterThan(1.5);
      rkt.ok(["gc", "--grace-period=0s"]);
    } finally {
      server.stop(true);
      void sender.stop(true);
    }
  });

  test("a controller that the kernel lacks is named, and the pod runs without", () => {
    const words = [
      RKT,
      `--dir=${rkt.dataDir}`,
      `--local-config=${rkt.configDir}`,
      ...command(["--pod-pids=100"], ["--pids=50", "--memory=64M"], "echo ran"),
    ];
    const script = 'umount -l /sys/fs/cgroup/pids && exec "$@"';
    const result = spawnSync("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...words], {
      encoding: "utf8",
    });
    expect(result.stderr).toContain("warning: resource/pids isolator set but support disabled in the kernel, skipping");
    expect(result.stderr).not.toContain("resource/memory");
    expect(result.stdout).toContain("ran");
    expect(result.status).toBe(0);
  });

  test("on a host with cgroup v2 alone no device of the host can be opened", () => {
    const disk = readdirSync("/sys/block").find((name) => !/^(loop|ram|zram)/.test(name)) ?? "loop0";
    const [major, minor] = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim().split(":");
    const look = `cat /proc/self/cgroup | grep -c '^0::'; mknod /dev/disk b ${major} ${minor}; mknod /tmp/null c 1 3; dd if=/dev/disk of=/dev/null count=1 && echo OPENED; head -c 2 /dev/zero > /dev/null && echo usable`;
    const words = [RKT, `--dir=${rkt.dataDir}`, `--local-config=${rkt.configDir}`, ...command([], [], look)];
    const script = 'umount -l -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"';
    const result = spawnSync("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...words], {
      encoding: "utf8",
    });
    expect(result.stdout).toContain("usable");
    expect(result.stdout).toContain("Operation not permitted");
    expect(result.stdout).not.toContain("OPENED");
    expect(result.status).toBe(0);
  });
});
