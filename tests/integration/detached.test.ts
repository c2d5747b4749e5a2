/** Pods in the background, pods with names, pods that go at their end. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { type Result, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

const stage1 = (flavor: string) => `--stage1-name=coreos.com/rkt/stage1-${flavor}`;

function detach(script: string, flags: readonly string[] = []): Result & { readonly uuid: string } {
  const words = ["--detach", "--net=none", ...flags, image, "--name=app", "--exec=/bin/sh", "--", "-c", script];
  const result = rkt.run(["--insecure-options=image", "run", ...words]);
  return { ...result, uuid: result.stdout.trim() };
}

const stateOf = (pod: string): string => /^state=(.*)$/m.exec(rkt.run(["status", pod]).stdout)?.[1] ?? "none";
const ended = (pod: string) => until("the pod's end", () => stateOf(pod) !== "running");

for (const flavor of ["nspawn", "fly"]) {
  describe(`--detach, ${flavor}`, () => {
    test("comes back when the pod runs; the pod has no terminal and a session of its own", async () => {
      const { status, uuid, stderr } = detach("echo up; exec sleep 300", [stage1(flavor)]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stateOf(uuid)).toBe("running");
      const pid = Number(/^pid=(\d+)$/m.exec(rkt.ok(["status", uuid]))?.[1]);
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [, , , session, terminal] = stat
        .slice(stat.lastIndexOf(")") + 1)
        .trim()
        .split(" ");
      expect([Number(session), Number(terminal)]).toEqual([pid, 0]);
      expect(rkt.run(["status", "--wait-ready", uuid]).status).toBe(0);
      rkt.ok(["stop", uuid]);
      await ended(uuid);
      rkt.ok(["rm", uuid]);
    });

    test("what cannot be started is told, with rkt's own status, and leaves nothing", () => {
      const before = rkt.pods();
      const flags = [stage1(flavor), "--volume=v,kind=host,source=/etc/hostname", "--mount=volume=v,target=/bin/sh/x"];
      const { status, stdout, stderr } = detach("exit 0", flags);
      expect({ status, stdout }).toEqual({ status: 254, stdout: "" });
      expect(stderr).toContain("/bin/sh");
      expect(rkt.pods()).toEqual(before);
    });

    test("removes the pod at its end with --rm, and nobody waits any longer", async () => {
      const { status, uuid } = detach("sleep 1", [stage1(flavor), "--rm"]);
      expect(status).toBe(0);
      await until("the pod to be gone", () => !rkt.pods().includes(uuid));
      await until("the waiter's end", () => waiters(uuid).length === 0);
    });
  });
}

/** Processes that have the pod's UUID among their words. */
function waiters(uuid: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return words.includes(uuid) && /flock|setsid/.test(words);
    } catch {
      return false;
    }
  });
}

describe("a detached pod", () => {
  test("that has ended already gives its own status; what it ended with is told later, too", async () => {
    for (const [script, expected] of [
      ["exit 0", 0],
      ["exit 9", 9],
      ["kill -9 $$", 137],
    ] as const) {
      const { status, uuid } = detach(script);
      // Running when it was looked at, or over.
      expect([0, expected]).toContain(status);
      await ended(uuid);
      expect(JSON.parse(rkt.ok(["status", "--format=json", uuid]))).toMatchObject({ exit_code: expected });
    }
    rkt.ok(["gc", "--grace-period=0s"]);
    rkt.ok(["gc", "--grace-period=0s"]);
  });

  test("has no terminal to be interactive with", () => {
    const { status, stderr } = detach("exit 0", ["--interactive"]);
    expect(status).toBe(254);
    expect(stderr).toContain("--detach and --interactive are mutually exclusive");
  });

  test("may have been prepared before", async () => {
    const uuid = rkt.ok(["--insecure-options=image", "prepare", image, "--exec=/bin/sleep", "--", "300"]).trim();
    expect(rkt.run(["run-prepared", "--detach", "--net=none", "--rm", uuid])).toMatchObject({
      status: 0,
      stdout: `${uuid}\n`,
    });
    expect(stateOf(uuid)).toBe("running");
    rkt.ok(["stop", uuid]);
    await until("the pod to be gone", () => !rkt.pods().includes(uuid));
  });
});

describe("--rm", () => {
  test("in the foreground: rkt's status is the pod's, and the pod goes", async () => {
    const file = join(rkt.dir, "rm-uuid");
    const words = [
      "run",
      "--rm",
      "--net=none",
      `--uuid-file-save=${file}`,
      image,
      "--exec=/bin/sh",
      "--",
      "-c",
      "exit 4",
    ];
    expect(rkt.run(["--insecure-options=image", ...words]).status).toBe(4);
    await until("the pod to be gone", () => !rkt.pods().includes(readFileSync(file, "utf8")));
  });

  test("gc finishes, without grace, when the waiter was killed", async () => {
    const { uuid } = detach("exec sleep 300", ["--rm"]);
    await until("the waiter", () => waiters(uuid).length > 0);
    for (const pid of waiters(uuid)) process.kill(Number(pid), "SIGKILL");
    rkt.ok(["stop", uuid]);
    await ended(uuid);
    expect(rkt.pods()).toContain(uuid);
    rkt.ok(["gc", "--grace-period=24h"]);
    expect(rkt.pods()).not.toContain(uuid);
  });
});

describe("--pod-name", () => {
  test("stands wherever a UUID can, is shown, and is one pod's at a time", async () => {
    const { uuid } = detach("echo hello; exec sleep 300", ["--pod-name=web"]);
    expect(stateOf("web")).toBe("running");
    expect(rkt.ok(["status", "web"])).toContain("\nname=web\n");
    expect(rkt.ok(["list"])).toMatch(/NETWORKS\s+NAME\n/);
    expect(rkt.ok(["list", "--full", "--no-legend"])).toMatch(new RegExp(`^${uuid}.*\\bweb$`, "m"));
    const listed: { pod_name?: string }[] = JSON.parse(rkt.ok(["list", "--format=json"]));
    expect(listed.find(({ pod_name }) => pod_name !== undefined)).toMatchObject({ name: uuid, pod_name: "web" });
    expect(rkt.ok(["cat-manifest", "web"])).toContain('"app"');
    expect(rkt.ok(["enter", "web", "/bin/echo", "inside"])).toBe("inside\n");
    expect(rkt.ok(["explain", "web"])).toContain("it is running");
    const second = detach("exit 0", ["--pod-name=web"]);
    expect(second.status).toBe(254);
    expect(second.stderr).toContain(`pod ${uuid}, which is running, has that name`);
    expect(rkt.ok(["stop", "web"])).toBe(`"${uuid}"\n`);
    await ended("web");
    rkt.ok(["export", "web", join(rkt.dir, "web.aci")]);
    // The next of that name; the one that is over has none any more.
    const next = detach("exec sleep 300", ["--pod-name=web"]);
    expect(next.status).toBe(0);
    expect(rkt.ok(["status", uuid])).not.toContain("name=");
    rkt.ok(["stop", "--force", "web"]);
    await ended("web");
    expect(rkt.ok(["rm", "web"])).toBe(`"${next.uuid}"\n`);
    rkt.ok(["rm", uuid]);
    expect(readdirSync(join(rkt.dataDir, "pods/names"))).toEqual([]);
    expect(rkt.ok(["list"])).not.toContain("NAME\n");
  });

  test("what is no name is refused", () => {
    for (const name of ["", "Web", "a/b", "00000000-0000-4000-8000-000000000000"])
      expect(detach("exit 0", [`--pod-name=${name}`])).toMatchObject({ status: 254, stdout: "" });
    expect(existsSync(join(rkt.dataDir, "pods/names/Web"))).toBe(false);
  });
});
