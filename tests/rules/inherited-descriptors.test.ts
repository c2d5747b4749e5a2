/**
 * What rkt's caller has open and did not mean to pass on (a lock of a script's, a file of an agent's): rkt does not close it, since the runtime's own descriptors cannot be told from it, but
 * neither apps, supervisors nor workers get it: the runtime marks it when it starts, the hand-over marks all that is left. Sockets of LISTEN_FDS alone go on. Needs root, strace.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { descendantsOf } from "../harness/processes.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { killAtEnd } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
let aci: string;
let file: string;
let open: number;

beforeAll(() => {
  rkt = testRkt();
  aci = join(rkt.dir, "app.aci");
  buildAci(aci);
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  file = join(rkt.dir, "of-the-caller");
  open = openSync(file, "w+");
});
afterAll(() => {
  closeSync(open);
  rkt[Symbol.dispose]();
});

/** Starts a program that has the caller's file open as 3 to 9, unmarked. */
function start(command: readonly string[]): { child: ChildProcess; stdout: () => string; ended: Promise<number> } {
  const [program = "", ...words] = command;
  const child = spawn(program, words, {
    cwd: rkt.dir,
    stdio: ["ignore", "pipe", "pipe", ...Array.from({ length: 7 }, () => open)],
    env: { PATH: process.env.PATH ?? "", HOME: "/root" },
  });
  const done = killAtEnd(child);
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => {
    stdout += String(chunk);
  });
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk);
  });
  const ended = new Promise<number>((resolve) => {
    child.once("close", (code) => {
      done();
      if (code !== 0 && code !== null) console.error(stderr);
      resolve(code ?? -1);
    });
  });
  return { child, stdout: () => stdout, ended };
}

/** Descriptors of a process that lead to the caller's file; of one that is gone, none. */
function callersFile(pid: number): string[] {
  return attempt(() => readdirSync(`/proc/${pid}/fd`), []).filter(
    (fd) => attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "") === file,
  );
}

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

test("another program gets all of them, so that what follows means something", async () => {
  const { child, stdout, ended } = start(["sh", "-c", "echo up; sleep 1; :"]);
  await until("its start", () => stdout() === "up\n");
  expect(callersFile(child.pid ?? 0)).toEqual(["3", "4", "5", "6", "7", "8", "9"]);
  expect(await ended).toBe(0);
});

describe.each(["fly", "nspawn"])("a pod of %s", (flavor) => {
  test("neither its supervisor nor its app has any", async () => {
    const words = ["--insecure-options=image", "run", `--stage1-name=coreos.com/rkt/stage1-${flavor}`, image];
    const script = "sleep 300 & echo up; wait";
    const { child, stdout, ended } = start([RKT, ...rkt.globals, ...words, "--exec=/bin/sh", "--", "-c", script]);
    await until("the app's start", () => stdout().includes("up"));
    const pids = [child.pid ?? 0, ...descendantsOf(child.pid ?? 0)];
    expect(pids.length).toBeGreaterThan(1);
    expect(pids.flatMap(callersFile)).toEqual([]);
    for (const pid of pids.reverse()) attempt(() => process.kill(pid, "SIGKILL"), false);
    await ended;
  });
});

test("of many, LISTEN_FDS of them go on to the app, and the others do not", async () => {
  const words = ["--insecure-options=image", "run", "--stage1-name=coreos.com/rkt/stage1-fly", image, "--exec=/bin/sh"];
  const script = "echo up $LISTEN_FDS; sleep 1; :";
  const listen = 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"';
  const { child, stdout, ended } = start(["sh", "-c", listen, "sh", RKT, ...rkt.globals, ...words, "--", "-c", script]);
  await until("the app's start", () => stdout().includes("up 2"));
  expect(callersFile(child.pid ?? 0)).toEqual(["3", "4"]);
  expect(await ended).toBe(0);
});

test("no worker has any", async () => {
  using fresh = testRkt();
  // Each process is held for a while before it ends, and so is seen.
  const hold = ["-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=400000"];
  const words = ["--insecure-options=image", "fetch", aci];
  const { child, ended } = start([
    "strace",
    "-f",
    "--quiet=all",
    "-o",
    "/dev/null",
    ...hold,
    RKT,
    ...fresh.globals,
    ...words,
  ]);
  const rktItself = () => descendantsOf(child.pid ?? 0)[0] ?? 0;
  const had = new Set<string>();
  const seen = new Map<string, string[]>();
  const own = statSync(RKT).ino;
  while (child.exitCode === null && child.signalCode === null) {
    for (const fd of callersFile(rktItself())) had.add(fd);
    for (const pid of descendantsOf(child.pid ?? 0)) {
      const [, word, name = ""] = attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"), "").split("\0");
      // Between fork and exec a process is still its parent, with all that it had.
      if (word !== "worker" || attempt(() => statSync(`/proc/${pid}/exe`).ino, 0) !== own) continue;
      seen.set(name, [...(seen.get(name) ?? []), ...callersFile(pid)]);
    }
    await Bun.sleep(5);
  }
  expect(await ended).toBe(0);
  expect(had.size).toBeGreaterThan(3);
  expect([...seen.keys()].sort()).toEqual(["fetch", "unpack"]);
  expect([...seen.values()].flat()).toEqual([]);
});
