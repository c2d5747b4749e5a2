/**
 * Whatever eats what strangers wrote is confined before it starts, in every one of its threads: no_new_privs, capabilities and filters are a thread's own, and the
 * runtime has several. Needs root, strace and gpg.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { workerAccount } from "../../src/host/accounts.ts";
import { buildAci, makeSigner, type Signer, signAci } from "../harness/images.ts";
import { descendantsOf } from "../harness/processes.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { killAtEnd } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let signer: Signer;
let workers: ReadonlyMap<string, Seen>;

beforeAll(async () => {
  rkt = testRkt();
  signer = makeSigner();
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci);
  signAci(signer, aci);
  rkt.ok(["trust", "--skip-fingerprint-review", "--root", writeKey()]);
  // A root's fetch does it all: download, verify, unpack.
  workers = await watchWorkers(["fetch", aci]);
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  signer?.[Symbol.dispose]();
});

function writeKey(): string {
  const path = join(rkt.dir, "key.asc");
  Bun.spawnSync(["sh", "-c", 'cat > "$1"', "sh", path], { stdin: Buffer.from(signer.publicKey) });
  return path;
}

/** Lines of /proc/PID/task/TID/status by name, for every thread. */
type Threads = Record<string, string>[];

interface Seen {
  threads: Threads;
  /** What each descriptor leads to. */
  descriptors: string[];
  environment: string[];
}

/**
 * Runs rkt, each of its processes held for a while before it ends: a worker is then looked at when it has done its work, with all the threads that it ever needed.
 * The last look at the most threads of each worker counts.
 */
async function watchWorkers(args: readonly string[]): Promise<Map<string, Seen>> {
  const hold = ["-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=400000"];
  const child = spawn("strace", ["-f", "--quiet=all", "-o", "/dev/null", ...hold, RKT, ...rkt.globals, ...args], {
    cwd: rkt.dir,
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: process.env.PATH ?? "", HOME: "/root", SECRET_OF_THE_CALLER: "1" },
  });
  const done = killAtEnd(child);
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += String(chunk);
  });
  const seen = new Map<string, Seen>();
  const own = statSync(RKT).ino;
  while (child.exitCode === null && child.signalCode === null) {
    for (const pid of descendantsOf(child.pid ?? -1)) {
      const look = lookAt(pid, own);
      if (look === undefined || look.seen.threads.length < (seen.get(look.name)?.threads.length ?? 0)) continue;
      seen.set(look.name, look.seen);
    }
    await Bun.sleep(5);
  }
  done();
  if (child.exitCode !== 0) throw new Error(`status ${child.exitCode}: ${errors}`);
  return seen;
}

/** A running worker by name. Undefined for what is no worker, not one yet (setpriv, which has the same words), or is gone. */
function lookAt(pid: number, ino: number): { name: string; seen: Seen } | undefined {
  try {
    if (statSync(`/proc/${pid}/exe`).ino !== ino) return undefined;
    const [, word, name = "", stage] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (word !== "worker") return undefined;
    const threads = readdirSync(`/proc/${pid}/task`).map((tid) => {
      const lines = readFileSync(`/proc/${pid}/task/${tid}/status`, "utf8").split("\n");
      return Object.fromEntries(lines.map((line) => line.split(":\t")).filter((pair) => pair.length === 2));
    });
    const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => `${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`);
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
    return { name: stage === "confined" ? `${name} confined` : name, seen: { threads, descriptors, environment } };
  } catch {
    return undefined;
  }
}

function expectEveryThread({ threads }: Seen, wanted: Record<string, string>): void {
  // One would be none but the main thread: then this would prove nothing.
  expect(threads.length).toBeGreaterThan(2);
  const keys = Object.keys(wanted);
  const pick = (thread: Record<string, string>) => Object.fromEntries(keys.map((key) => [key, thread[key]?.trim()]));
  expect(threads.map(pick)).toEqual(threads.map(() => wanted));
}

function found(name: string): Seen {
  const seen = workers.get(name);
  if (seen === undefined) throw new Error(`no worker "${name}" among ${[...workers.keys()].join(", ")}`);
  return seen;
}

const four = (id: number) => `${id}\t${id}\t${id}\t${id}`;
const NOTHING = "0".repeat(16);
const POWERLESS = {
  NoNewPrivs: "1",
  CapInh: NOTHING,
  CapPrm: NOTHING,
  CapEff: NOTHING,
  CapBnd: NOTHING,
  CapAmb: NOTHING,
  // A system call filter (seccomp(2)).
  Seccomp: "2",
};

test("the fetch and the verify worker: users of their own, and nothing they could do as root", () => {
  for (const name of ["fetch", "verify"] as const) {
    const seen = found(name);
    const { uid, gid } = workerAccount(name === "fetch" ? "rkt-fetch" : "rkt-verify");
    expectEveryThread(seen, { ...POWERLESS, Uid: four(uid), Gid: four(gid) });
    expect(seen.environment.filter((line) => !/^(PATH|LANG)=/.test(line))).toEqual([]);
    // The store's directory and the like are handed to the one that writes there; nothing else of rkt's is.
    expect(seen.descriptors.filter((line) => /\/pods\//.test(line))).toEqual([]);
  }
});

test("the unpack worker: root in name, with the five capabilities that give files their owners, in a root of its own", () => {
  const seen = found("unpack confined");
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, SETFCAP 31 (capabilities(7)).
  const few = (0x8000001b).toString(16).padStart(16, "0");
  expectEveryThread(seen, {
    NoNewPrivs: "1",
    CapInh: NOTHING,
    CapPrm: few,
    CapEff: few,
    CapBnd: few,
    CapAmb: NOTHING,
    Seccomp: "2",
  });
  expect(seen.environment.filter((line) => !/^(PATH|LANG)=/.test(line))).toEqual([]);
  // stdio, and what it opened inside its own root.
  const outside = seen.descriptors.filter((line) => /^\d+ \//.test(line) && line.includes(rkt.dataDir));
  expect(outside).toEqual([]);
});
