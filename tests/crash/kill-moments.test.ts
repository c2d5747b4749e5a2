/**
 * kill -9 of rkt at many moments of its work, spread over everything that it does: before each chosen system call of its main thread, so the same moments every time. What is left
 * is understood by the next list, status, gc, fetch and run, and gc leaves nothing behind. Needs root and strace.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../src/host/child-processes.ts";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { CHANGES } from "../harness/kill-at.ts";
import { type Census, type CensusScope, censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { freePort } from "../harness/registry.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { parseTrace } from "../harness/strace.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(600_000);

let images: TemporaryDirectory;
let layout: string;
let aci: string;

beforeAll(() => {
  images = temporaryDirectory("crash-images");
  layout = join(images.path, "layout");
  aci = join(images.path, "app.aci");
  buildBusyboxOci(layout, { layers: [{ "one/file": "1" }, { "one/.wh.file": "", "two/file": "2" }] });
  buildAci(aci, {
    app: { exec: ["/bin/sh"], user: "0", group: "0", ports: [{ name: "http", port: 80, protocol: "tcp" }] },
  });
});
afterAll(() => images[Symbol.dispose]());

/** A system call of the main thread: its name, and how many of that name there were, itself included. */
interface Moment {
  readonly call: string;
  readonly nth: number;
}

/** strace without --follow-forks sees the main thread alone. It goes on into what rkt becomes, so a list of moments ends with the hand-over. */
function strace(rkt: TestRkt, args: readonly string[], options: readonly string[]) {
  const result = spawnSync("strace", ["--quiet=all", ...options, RKT, ...rkt.globals, ...args], {
    encoding: "utf8",
    cwd: rkt.dir,
    input: "",
    timeout: 100_000,
    killSignal: "SIGKILL",
  });
  if (result.error !== undefined) throw result.error;
  return result;
}

function momentsOf(rkt: TestRkt, args: readonly string[], status: number, wanted: number): Moment[] {
  const output = join(rkt.dir, "strace");
  const result = strace(rkt, args, [`--output=${output}`, "-e", `trace=${CHANGES},openat`]);
  if (result.status !== status) throw new Error(`status ${result.status}: ${result.stderr}`);
  const numbered = readFileSync(output, "utf8").replaceAll(/^(?=\w)/gm, "1 ");
  const calls = parseTrace(numbered);
  const end = calls.findLastIndex((call) => call.name === "execve" && call.result === "0");
  const counts = new Map<string, number>();
  const all = (end > 0 ? calls.slice(0, end + 1) : calls).flatMap(({ name, args: words }) => {
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    return name === "openat" && !words.includes("O_CREAT") ? [] : [{ call: name, nth }];
  });
  // The first execve is rkt's own start.
  const moments = all.slice(1);
  return Array.from({ length: wanted }, (_, index) => moments[Math.floor((index * moments.length) / wanted)]).filter(
    (moment) => moment !== undefined,
  );
}

function killAt(rkt: TestRkt, args: readonly string[], { call, nth }: Moment): void {
  const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
  const result = strace(rkt, args, ["--output=/dev/null", "-e", `trace=${call}`, "-e", inject]);
  if (result.signal !== "SIGKILL" && result.status !== 137)
    throw new Error(`not killed at ${call} ${nth}: status ${result.status}\n${result.stderr}`);
}

/** What the next commands make of what is there. */
function expectUnderstood(rkt: TestRkt): void {
  const list = rkt.run(["list", "--format=json"]);
  expect({ status: list.status, stderr: list.stderr.replaceAll(/^.*has lost its supervisor.*\n/gm, "") }).toEqual({
    status: 0,
    stderr: "",
  });
  const pods: { name: string; state: string }[] = JSON.parse(list.stdout) ?? [];
  for (const { name } of pods) expect(rkt.run(["status", name]).status).toBe(0);
  const images = rkt.run(["image", "list", "--format=json"]);
  expect({ status: images.status, stderr: images.stderr }).toEqual({ status: 0, stderr: "" });
}

/** An embryo may be a pod that is being born: gc leaves it for a minute. Nobody else looks at it. */
function podsLeft(rkt: TestRkt): string[] {
  if (!existsSync(join(rkt.dataDir, "pods"))) return [];
  return runProgram(["find", join(rkt.dataDir, "pods"), "-mindepth", "2", "-not", "-path", "*/embryo/*"])
    .split("\n")
    .filter(Boolean);
}

function collect(rkt: TestRkt): void {
  const gc = rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  expect({ status: gc.status, stderr: gc.stderr.replaceAll(/^gc: moving .*\n/gm, "") }).toEqual({
    status: 0,
    stderr: "",
  });
  expect(podsLeft(rkt)).toEqual([]);
}

const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";
const INSECURE = "--insecure-options=image";
const shell = ["--exec=/bin/sh", "--", "-c", "exit 4"];

describe("kill -9 of a fetch, from download to rendered layers", () => {
  test("whatever was cut off, the same fetch then succeeds, and what it fetched runs", async () => {
    const fetch = () => [INSECURE, "fetch", "--full", `oci:${layout}`];
    let list: Moment[];
    {
      using first = testRkt();
      list = momentsOf(first, fetch(), 0, 10);
    }
    expect(list.length).toBe(10);
    for (const moment of list) {
      using rkt = testRkt();
      killAt(rkt, fetch(), moment);
      expectUnderstood(rkt);
      collect(rkt);
      const id = rkt.ok(fetch()).trim();
      expectUnderstood(rkt);
      expect(rkt.run([INSECURE, "run", FLY, id, "--exec=/bin/sh", "--", "-c", "cat /two/file; ls /one"])).toMatchObject(
        {
          status: 0,
          stdout: "2",
        },
      );
      collect(rkt);
      const images = rkt.run(["image", "gc", "--grace-period=0s"]);
      expect({ status: images.status, stderr: images.stderr.includes("Cannot") }).toEqual({ status: 0, stderr: false });
    }
  });
});

/** One store with the images and stage1s rendered; every kill leaves pods there, and a census tells what gc left of them. */
describe("kill -9 of", () => {
  let rkt: TestRkt;
  let image: string;
  let scope: CensusScope;
  let before: Census;

  beforeAll(() => {
    rkt = testRkt();
    image = rkt.ok([INSECURE, "fetch", "--full", aci]).trim();
    // Everything that stays after a pod's end (a bridge of the kernel's modules, empty directories of CNI and nspawn) is there before the census.
    for (const flags of [[FLY], []]) expect(rkt.run([INSECURE, "run", ...flags, image, ...shell]).status).toBe(4);
    collect(rkt);
    scope = censusScope([join(rkt.dataDir, "pods/run"), join(rkt.dataDir, "pods/prepared")]);
    before = takeCensus(scope);
  });
  afterAll(() => {
    scope[Symbol.dispose]();
    rkt[Symbol.dispose]();
  });

  for (const [name, args, status, moments] of [
    ["a prepare", ["prepare", "--quiet"], 0, 6],
    ["a prepare that copies", ["prepare", "--quiet", "--no-overlay"], 0, 4],
    ["a run under fly", ["run", FLY], 4, 8],
    ["a run under nspawn, with a network and a port", ["run", "--port=http:"], 4, 14],
  ] as const) {
    test(`${name}, at ${moments} moments`, async () => {
      const port = String(await freePort());
      const words = [INSECURE, ...args.map((word) => (word.endsWith(":") ? word + port : word)), image, ...shell];
      const list = momentsOf(rkt, words, status, moments);
      expect(list.length).toBe(moments);
      collect(rkt);
      for (const moment of list) {
        killAt(rkt, words, moment);
        expectUnderstood(rkt);
        collect(rkt);
        expect({ moment, left: await leftBehind(scope, before) }).toEqual({ moment, left: [] });
      }
      expect(rkt.run(words).status).toBe(status);
      collect(rkt);
      expect(await leftBehind(scope, before)).toEqual([]);
    });
  }
});

test("a run that is killed while it waits for its network's plugin leaves no process of it", async () => {
  using rkt = testRkt();
  using scope = censusScope();
  const id = rkt.ok([INSECURE, "fetch", "--full", aci]).trim();
  rkt.run([INSECURE, "run", id, ...shell]);
  rkt.ok(["gc", "--grace-period=0s"]);
  const before = takeCensus(scope);
  // The plugin itself is held up: rkt is killed while it runs, and it outlives rkt.
  const options = ["--follow-forks", "--quiet=all", "--output=/dev/null", "-e", "trace=execve,socket", "-e"];
  const child = Bun.spawn(
    ["strace", ...options, "inject=socket:delay_enter=700000", RKT, ...rkt.globals, INSECURE, "run", id, ...shell],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore", cwd: rkt.dir },
  );
  const plugin = () =>
    runProgram(["sh", "-c", "cat /proc/[0-9]*/comm 2> /dev/null | grep -cx ptp || true"]).trim() !== "0";
  for (let tries = 0; !plugin() && tries < 2000; tries += 1) await Bun.sleep(10);
  expect(plugin()).toBe(true);
  const [main = 0] = childrenOf(child.pid);
  process.kill(main, "SIGKILL");
  expectUnderstood(rkt);
  rkt.ok(["gc", "--grace-period=0s"]);
  child.kill("SIGKILL");
  await child.exited;
  expect(rkt.pods()).toEqual([]);
  expect(await leftBehind(scope, before)).toEqual([]);
});
