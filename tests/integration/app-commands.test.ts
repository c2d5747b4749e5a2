/** Apps of a running pod: rkt app. Needs root. */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../src/host/child-processes.ts";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { CHANGES, killAtCall } from "../harness/kill-at.ts";
import { censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { orchestrate } from "../harness/orchestrator.ts";
import { mountsBelow, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
let sandbox: RunningRkt;
let uuid: string;
let count = 0;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(
    rkt,
    {},
    {
      "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\n",
      "etc/group": "root:x:0:\nweb:x:1002:\n",
    },
  );
});
afterAll(() => rkt[Symbol.dispose]());

/** A pod that is ready for apps. */
async function startSandbox(...flags: string[]): Promise<void> {
  count += 1;
  const uuidFile = join(rkt.dir, `uuid-${count}`);
  sandbox = rkt.start(["app", "sandbox", "--net=none", `--uuid-file-save=${uuidFile}`, ...flags]);
  await until("the pod's UUID", () => existsSync(uuidFile) && readFileSync(uuidFile, "utf8").length === 36);
  uuid = readFileSync(uuidFile, "utf8");
  rkt.ok(["status", "--wait-ready=100s", uuid]);
}

async function endSandbox(): Promise<void> {
  rkt.run(["stop", "--force", uuid]);
  await sandbox.ended;
  rkt.ok(["rm", uuid]);
}

const add = (name: string, script: string, ...flags: string[]) =>
  rkt.run(["app", "add", uuid, image, `--name=${name}`, ...flags, "--exec=/bin/sh", "--", "-c", script]);
const state = (name: string) => /^state=(.*)$/m.exec(rkt.ok(["app", "status", uuid, `--app=${name}`]))?.[1];
const apps = () => rkt.ok(["app", "list", "--no-legend", uuid]).trim().split(/\s+/).filter(Boolean);

/** Whatever of an app could be left: in the pod's directory, in its root, among its mounts. */
function traces(name: string): string[] {
  const [init] = childrenOf(sandbox.pid);
  const below = (directory: string) =>
    existsSync(directory) ? readdirSync(directory).map((entry) => join(directory, entry)) : [];
  const pod = join(rkt.dataDir, "pods/run", uuid);
  const places = [
    "appsinfo",
    "added",
    ...below(join(pod, "overlay")).flatMap((tree) => [join(tree, "upper"), join(tree, "work")]),
  ];
  const root = `/proc/${init}/root`;
  const inside = [
    "etc/systemd/system",
    "rkt/status",
    "rkt/env",
    "rkt/iottymux",
    "rkt/memory",
    "opt/stage2",
    "rkt/enter",
  ];
  return [
    ...places.flatMap((place) => below(place.startsWith("/") ? place : join(pod, place))),
    ...inside.flatMap((place) => below(join(root, place))),
    ...readFileSync(`/proc/${init}/mountinfo`, "utf8")
      .split("\n")
      .filter((line) => line.includes(`/opt/stage2/${name}/`)),
  ].filter((text) => text.includes(name));
}

describe("an orchestrator", () => {
  test("sandboxes, adds three apps, streams logs, restarts, executes, stops and removes, again and again", async () => {
    using scope = censusScope([join(rkt.dataDir, "pods")]);
    const before = takeCensus(scope);
    const rounds = Number(process.env["RKT_TEST_ROUNDS"] ?? 3);
    for (let round = 0; round < rounds; round += 1) {
      expect((await orchestrate(rkt, image)).findings).toEqual([]);
      expect((await leftBehind(scope, before)).filter((line) => !/^entry .*\/pods\/[a-z-]+\/$/.test(line))).toEqual([]);
    }
  });
});

describe("apps of a pod", () => {
  beforeAll(() => startSandbox());
  afterAll(endSandbox);
  afterEach(() => {
    for (const name of apps().filter((_, index) => index % 2 === 0)) rkt.ok(["app", "rm", uuid, `--app=${name}`]);
  });

  test("have states, exit statuses and a life of their own", async () => {
    expect(add("first", "exit 7").status).toBe(0);
    expect(state("first")).toBe("created");
    rkt.ok(["app", "start", uuid, "--app=first"]);
    await until("its end", () => state("first") === "exited");
    expect(rkt.ok(["app", "status", uuid, "--app=first"])).toContain("exit_code=7\n");
    expect(rkt.ok(["status", uuid])).toContain("state=running");
    // Stopping what has ended, and what never ran, is no error.
    rkt.ok(["app", "stop", uuid, "--app=first"]);
    expect(add("second", "exit 0").status).toBe(0);
    rkt.ok(["app", "stop", uuid, "--app=second"]);
    expect(rkt.ok(["app", "list", uuid])).toMatch(/^NAME\tSTATE\nfirst\texited\nsecond\tcreated\n$/);
  });

  test("run as their users, with volumes, and in sight of each other's memory only", () => {
    const source = join(rkt.dir, "source");
    mkdirSync(source, { recursive: true });
    const volume = (name: string) => `--mnt-volume=name=${name},kind=host,source=${source},target=/data`;
    expect(add("writer", "echo shared > /dev/shm/x; sleep 1000", volume("v"), "--user=web", "--group=web").status).toBe(
      0,
    );
    expect(
      add("reader", "sleep 1000", `${volume("w")},readOnly=true`, "--mnt-volume=name=t,kind=tmpfs,target=/scratch")
        .status,
    ).toBe(0);
    for (const name of ["writer", "reader"]) rkt.ok(["app", "start", uuid, `--app=${name}`]);
    const exec = (app: string, script: string) =>
      rkt.run(["app", "exec", `--app=${app}`, uuid, "/bin/sh", "-c", script]);
    expect(exec("writer", "id -u; id -g; cat /dev/shm/x").stdout).toBe("1001\n1002\nshared\n");
    expect(exec("reader", "cat /dev/shm/x; echo y > /scratch/y && cat /scratch/y; touch /data/refused").status).toBe(1);
    expect(readdirSync(source)).toEqual([]);
    expect(exec("reader", "ls /opt/stage2 2>&1; cat /proc/mounts").stdout).not.toContain("writer");
  });

  test("are refused with rkt's words", () => {
    expect(add("taken", "exit 0").status).toBe(0);
    const refusals: [string[], string][] = [
      [["app", "add", uuid, image, "--name=taken"], "error: multiple apps with name taken"],
      [["app", "add", uuid, image, "--name=a", "---", image, "--name=b"], "must give only one app"],
      [["app", "add", uuid, "example.com/none"], "either image was not found in the store"],
      [["app", "start", uuid, "--app=none"], 'error: nonexistent app "none"'],
      [["app", "stop", uuid, "--app=none"], 'error: nonexistent app "none"'],
      [["app", "rm", uuid, "--app=none"], 'error: nonexistent app "none"'],
      [["app", "rm", uuid], "must provide the app to remove"],
      [
        ["app", "add", uuid, image, "--name=x", "--caps-retain=CAP_SYS_TIME"],
        "its pod was started without CAP_SYS_TIME",
      ],
      [
        ["app", "add", uuid, image, "--name=x", "--mnt-volume=name=v,kind=host,source=/no/such/place,target=/x"],
        "no such file or directory",
      ],
      [["app", "add", uuid, image, "--name=x", "--stdin=interactive"], "the pod's own terminal is the sandbox's"],
      [["app", "add", uuid, image, "--name=x", "--exec=no-such-program"], 'Unable to find "no-such-program"'],
    ];
    for (const [args, text] of refusals) {
      const { status, stderr } = rkt.run(args);
      expect({ args, status }).toEqual({ args, status: 254 });
      expect(stderr).toContain(text);
    }
    expect(rkt.run(["app", "list", "00000000"])).toMatchObject({ status: 1 });
    expect(apps()).toEqual(["taken", "created"]);
    expect(traces("x.service")).toEqual([]);
  });

  test("tell when they cannot be started, and start again", () => {
    const source = join(rkt.dir, "programs");
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "app"), "no program", { mode: 0o755 });
    const flags = [`--mnt-volume=name=v,kind=host,source=${source},target=/programs`, "--exec=/programs/app"];
    rkt.ok(["app", "add", uuid, image, "--name=broken", ...flags]);
    expect(rkt.run(["app", "start", uuid, "--app=broken"])).toMatchObject({ status: 254 });
    expect(rkt.ok(["app", "status", uuid, "--app=broken"])).toContain("state=exited");
    writeFileSync(join(source, "app"), "#!/bin/sh\nsleep 1000\n", { mode: 0o755 });
    rkt.ok(["app", "start", uuid, "--app=broken"]);
    expect(state("broken")).toBe("running");
    expect(rkt.run(["app", "start", uuid, "--app=broken"]).status).toBe(0);
  });

  test("two added at once are both there, and of two with one name one", async () => {
    const one = (name: string) => rkt.start(["app", "add", uuid, image, `--name=${name}`, "--exec=/bin/true"]).ended;
    const results = await Promise.all([one("left"), one("right"), one("same"), one("same")]);
    expect(results.map(({ status }) => status).sort()).toEqual([0, 0, 0, 254]);
    expect(
      apps()
        .filter((_, index) => index % 2 === 0)
        .sort(),
    ).toEqual(["left", "right", "same"]);
  });

  test("an add that is killed at any moment is undone by the next command", () => {
    for (const [calls, numbers] of [
      [CHANGES, [60, 90, 120, 150]],
      ["setns", [1, 2]],
    ] as const) {
      for (const nth of numbers) {
        killAtCall(rkt, ["app", "add", uuid, image, "--name=killed", "--exec=/bin/true"], calls, nth);
        // Whole, or unfinished and then taken out by the next command that changes the pod.
        if (!apps().includes("killed")) expect(add("next", "exit 0").status).toBe(0);
        else if (state("killed") === "created") rkt.ok(["app", "rm", uuid, "--app=killed"]);
        else {
          expect(state("killed")).toBe("unknown");
          expect(add("next", "exit 0").status).toBe(0);
        }
        expect(apps()).not.toContain("killed");
        expect(traces("killed")).toEqual([]);
        if (apps().includes("next")) rkt.ok(["app", "rm", uuid, "--app=next"]);
      }
    }
    expect(mountsBelow(rkt.dir).filter((path) => path.includes("killed"))).toEqual([]);
  });

  test("a removal that is killed is finished by the next command", () => {
    for (const nth of [8, 30]) {
      expect(add("doomed", "exit 0").status).toBe(0);
      killAtCall(rkt, ["app", "rm", uuid, "--app=doomed"], CHANGES, nth);
      if (apps().includes("doomed") && state("doomed") === "created") rkt.ok(["app", "rm", uuid, "--app=doomed"]);
      else expect(add("next", "exit 0").status).toBe(0);
      expect(traces("doomed")).toEqual([]);
      if (apps().includes("next")) rkt.ok(["app", "rm", uuid, "--app=next"]);
    }
  });

  test("links that the pod's root planted lead nowhere", () => {
    const [init] = childrenOf(sandbox.pid);
    const host = join(rkt.dir, "host-directory");
    mkdirSync(host);
    symlinkSync(host, `/proc/${init}/root/opt/stage2/trapped`);
    expect(add("trapped", "exit 0", "--mnt-volume=name=t,kind=tmpfs,target=/scratch").status).toBe(0);
    expect(readdirSync(host)).toEqual([]);
    expect(mountsBelow(rkt.dir).filter((path) => path.startsWith(host) || path.includes("trapped"))).toEqual([]);
  });
});

describe("a pod that ends", () => {
  test("takes its apps along, and refuses what comes later", async () => {
    await startSandbox();
    expect(add("app", "sleep 1000").status).toBe(0);
    rkt.ok(["app", "start", uuid, "--app=app"]);
    const adds = Array.from({ length: 4 }, (_, index) =>
      rkt.start(["app", "add", uuid, image, `--name=late-${index}`, "--exec=/bin/true"]),
    );
    rkt.ok(["stop", uuid]);
    const { status } = await sandbox.ended;
    expect(status).toBe(0);
    for (const { ended } of adds) expect([0, 254]).toContain((await ended).status);
    expect(add("never", "exit 0").stderr).toContain("isn't currently running");
    expect(rkt.ok(["app", "status", uuid, "--app=app"])).toContain("state=exited");
    // An orchestrator stops the apps of a pod that it takes down, whatever has become of the pod.
    expect(rkt.run(["app", "stop", uuid, "--app=app"])).toEqual({
      status: 0,
      stdout: `pod "${uuid}" is already stopped\n`,
      stderr: "",
    });
    expect(rkt.run(["app", "rm", uuid, "--app=app"])).toMatchObject({ status: 254, stdout: "" });
    rkt.ok(["rm", uuid]);
    expect(rkt.pods()).toEqual([]);
    expect(mountsBelow(rkt.dir)).toEqual([]);
  });

  test("without overlay, too", async () => {
    await startSandbox("--no-overlay");
    expect(add("copied", "echo $0; sleep 1000").status).toBe(0);
    rkt.ok(["app", "start", uuid, "--app=copied"]);
    expect(rkt.ok(["app", "exec", "--app=copied", uuid, "/bin/sh", "-c", "echo x > /file; cat /file"])).toBe("x\n");
    rkt.ok(["app", "rm", uuid, "--app=copied"]);
    expect(traces("copied")).toEqual([]);
    await endSandbox();
  });

  test("of another kind is not changed", async () => {
    const running = rkt.start([
      "--insecure-options=image",
      "run",
      "--net=none",
      image,
      "--exec=/bin/sh",
      "--",
      "-c",
      "echo up; sleep 1000",
    ]);
    await until("the app", () => running.stdout().includes("up"));
    uuid = rkt.pods()[0] ?? "";
    const { status, stderr } = add("more", "exit 0");
    expect(status).toBe(254);
    expect(stderr).toContain("immutable pod");
    rkt.ok(["stop", "--force", uuid]);
    await running.ended;
    const fly = rkt.run(["app", "sandbox", "--stage1-name=coreos.com/rkt/stage1-fly"]);
    expect(fly.status).toBe(1);
    expect(fly.stderr).toContain("does not support it");
  });
});
