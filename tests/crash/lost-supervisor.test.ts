/**
 * kill -9 of a running pod's supervisor: its lock is free, its systemd and apps run on. Every command says so, and whatever removes the pod ends its processes first and removes
 * nothing while one of them lives. Needs root and strace.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { type Census, type CensusScope, censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { descendantsOf, isAlive } from "../harness/processes.ts";
import { type Result, RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { parseTrace, type SystemCall } from "../harness/strace.ts";

setDefaultTimeout(600_000);

const INSECURE = "--insecure-options=image";

let rkt: TestRkt;
let image: string;
let scope: CensusScope;
let before: Census;
let volume: string;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
  volume = join(rkt.dir, "volume");
  mkdirSync(volume);
  expect(rkt.run([INSECURE, "run", image, "--exec=/bin/true"]).status).toBe(0);
  rkt.ok(["gc", "--grace-period=0s"]);
  scope = censusScope([join(rkt.dataDir, "pods")]);
  before = takeCensus(scope);
});
afterAll(() => {
  scope[Symbol.dispose]();
  rkt[Symbol.dispose]();
});

interface Orphan {
  readonly uuid: string;
  readonly dir: string;
  /** Processes of the pod, in the host's numbers. */
  readonly processes: readonly number[];
}

/** A pod of two apps that write without pause, into a volume and into their own roots, one deaf to TERM; then its supervisor is killed. */
async function orphan(): Promise<Orphan> {
  const uuidFile = join(rkt.dir, "uuid");
  const write = (name: string) =>
    `trap '' TERM; i=0; while :; do i=$((i+1)); echo $i > /data/${name}; echo $i >> /own; [ $i = 20 ] && echo up ${name}; done`;
  const app = (name: string) => [image, `--name=${name}`, "--exec=/bin/sh", "--", "-c", write(name)];
  const running = rkt.start([
    ...[INSECURE, "run", `--uuid-file-save=${uuidFile}`, `--volume=v,kind=host,source=${volume}`],
    ...["--mount=volume=v,target=/data", ...app("one"), "---", ...app("two")],
  ]);
  await until("both apps to write", () => ["one", "two"].every((name) => running.stdout().includes(`up ${name}`)));
  const processes = descendantsOf(running.pid);
  expect(processes.length).toBeGreaterThanOrEqual(3);
  process.kill(running.pid, "SIGKILL");
  await running.ended;
  const uuid = readFileSync(uuidFile, "utf8");
  return { uuid, dir: join(rkt.dataDir, "pods/run", uuid), processes };
}

/** Runs a command under strace, and gives the calls by which it ends, looks for, or takes away. */
function traced(args: readonly string[]): { result: Result; calls: SystemCall[] } {
  const output = join(rkt.dir, "strace");
  const trace = "trace=kill,umount2,unlink,unlinkat,rmdir,openat,read,write";
  const child = spawnSync(
    "strace",
    [
      "--follow-forks",
      "--quiet=all",
      "--decode-fds=path",
      `--output=${output}`,
      "-e",
      trace,
      RKT,
      ...rkt.globals,
      ...args,
    ],
    { encoding: "utf8", cwd: rkt.dir, input: "", timeout: 100_000, killSignal: "SIGKILL" },
  );
  if (child.error !== undefined) throw child.error;
  const result = { status: child.status ?? -1, stdout: child.stdout, stderr: child.stderr };
  return { result, calls: parseTrace(readFileSync(output, "utf8")) };
}

/** Nothing of the pod is taken away before its last process is gone: killed, and then not found any more. */
function expectEndedFirst({ uuid }: Orphan, calls: readonly SystemCall[]): void {
  const isKill = ({ name, args, result }: SystemCall) =>
    (result === "0" && name === "kill" && args.includes("SIGKILL")) || (name === "write" && /cgroup\.kill>/.test(args));
  const takesAway = ({ name, args, result }: SystemCall) =>
    result === "0" &&
    ["umount2", "unlink", "unlinkat", "rmdir"].includes(name) &&
    (args.includes(uuid) || args.includes("cni-"));
  const lastKill = calls.findLastIndex(isKill);
  const firstRemoval = calls.findIndex(takesAway);
  expect(lastKill).toBeGreaterThan(0);
  expect(firstRemoval).toBeGreaterThan(lastKill);
  // Between them the pod's cgroup was read, and was empty.
  const looks = calls
    .slice(lastKill, firstRemoval)
    .filter(({ name, args }) => name === "read" && args.includes(`rkt-${uuid}`) && args.includes("cgroup.procs>"));
  expect(looks.length).toBeGreaterThan(0);
  expect(looks.at(-1)?.result).toBe("0");
}

function expectRunningWithNote({ uuid, processes }: Orphan): void {
  const note = `pod "${uuid}" has lost its supervisor`;
  const list = rkt.run(["list", "--full", "--no-legend"]);
  expect(list.stdout).toMatch(new RegExp(`^${uuid}\\s.*\\srunning\\s`));
  expect(list.stderr).toContain(note);
  const status = rkt.run(["status", uuid]);
  expect(status.stdout).toStartWith("state=running\n");
  expect(status.stderr).toContain(note);
  expect(JSON.parse(rkt.ok(["list", "--format=json"]))[0]).toMatchObject({ state: "running", supervisor_lost: true });
  // A look is only a look.
  expect(processes.every(isAlive)).toBe(true);
  // Nobody runs, or removes, what is running.
  expect(rkt.run(["run-prepared", uuid]).status).toBe(254);
}

async function expectNothingLeft({ processes }: Orphan): Promise<void> {
  expect(processes.filter(isAlive)).toEqual([]);
  expect(await leftBehind(scope, before)).toEqual([]);
  // The host's own files are the host's: written by the pod to its end, and kept.
  const last = ["one", "two"].map((name) => readFileSync(join(volume, name), "utf8"));
  const changed = statSync(join(volume, "one")).mtimeMs;
  await Bun.sleep(100);
  expect(["one", "two"].map((name) => readFileSync(join(volume, name), "utf8"))).toEqual(last);
  expect(statSync(join(volume, "one")).mtimeMs).toBe(changed);
}

describe("a pod whose supervisor was killed", () => {
  test("gc --grace-period=0s ends it, then removes it, in one go", async () => {
    const pod = await orphan();
    expectRunningWithNote(pod);
    const { result, calls } = traced(["gc", "--grace-period=0s"]);
    expect(result.status).toBe(0);
    expectEndedFirst(pod, calls);
    await expectNothingLeft(pod);
  });

  test("gc --mark-only ends it too, and removes nothing", async () => {
    const pod = await orphan();
    expect(rkt.run(["gc", "--mark-only"]).status).toBe(0);
    expect(pod.processes.filter(isAlive)).toEqual([]);
    expect(rkt.ok(["status", pod.uuid])).toContain("state=exited garbage");
    expect(rkt.ok(["cat-manifest", pod.uuid])).toContain('"one"');
    rkt.ok(["gc", "--grace-period=0s"]);
    await expectNothingLeft(pod);
  });

  test("rm ends it, then removes it", async () => {
    const pod = await orphan();
    const { result, calls } = traced(["rm", pod.uuid]);
    expect(result).toMatchObject({ status: 0, stdout: `"${pod.uuid}"\n` });
    expectEndedFirst(pod, calls);
    await expectNothingLeft(pod);
  });

  for (const flags of [[], ["--force"]]) {
    test(`stop ${flags.join("")} ends it, waits for that, and leaves the rest for gc`, async () => {
      const pod = await orphan();
      const result = rkt.run(["stop", ...flags, pod.uuid]);
      expect(result).toEqual({ status: 0, stdout: `"${pod.uuid}"\n`, stderr: "" });
      expect(pod.processes.filter(isAlive)).toEqual([]);
      expect(rkt.ok(["status", pod.uuid])).toContain("state=exited\n");
      rkt.ok(["gc", "--grace-period=0s"]);
      await expectNothingLeft(pod);
    });
  }
});

test("twenty pods, one after the other, each collected: nothing adds up", async () => {
  const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
  for (let round = 0; round < 20; round += 1) {
    const flags = round % 4 === 3 ? [fly] : [];
    expect(rkt.run([INSECURE, "run", ...flags, image, "--exec=/bin/sh", "--", "-c", `exit ${round}`]).status).toBe(
      round,
    );
    if (round % 2 === 1) expect(rkt.run(["gc", "--grace-period=0s"]).status).toBe(0);
  }
  expect(await leftBehind(scope, before)).toEqual([]);
});
