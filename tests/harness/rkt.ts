/**
 * One rkt of a test: the built executable with a data and configuration directory of its own. Everything it starts is ended and everything it mounts is
 * unmounted when the test ends, also when it fails: `using rkt = testRkt()`.
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const RKT = resolve(process.env.RKT ?? "build/rkt");

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestRkt {
  /** Temporary directory of the test. */
  readonly dir: string;
  readonly dataDir: string;
  readonly configDir: string;
  /** The options that make every command use these directories. */
  readonly globals: readonly string[];
  /** Runs `rkt ARGS` to its end. A death by signal N gives status 128+N. */
  run(
    args: readonly string[],
    options?: { input?: string; env?: Record<string, string>; cwd?: string; timeout?: number },
  ): Result;
  /** Like run, but throws with both outputs unless the status is 0; returns stdout. */
  ok(args: readonly string[], options?: { env?: Record<string, string>; cwd?: string }): string;
  /** Starts `rkt ARGS` and returns at once. */
  start(args: readonly string[], options?: { env?: Record<string, string> }): RunningRkt;
  /** Full UUIDs of all pods. */
  pods(): string[];
  [Symbol.dispose](): void;
}

export interface RunningRkt {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the status when the process has ended. */
  ended: Promise<Result>;
}

/** Temporary directories lie under /var/tmp: /tmp may be a tmpfs, where a large image would fill memory. */
export function testRkt(): TestRkt {
  const dir = mkdtempSync("/var/tmp/rkt-test-");
  const dataDir = join(dir, "data");
  const configDir = join(dir, "etc-rkt");
  mkdirSync(configDir, { recursive: true });
  const globals = [`--dir=${dataDir}`, `--local-config=${configDir}`, `--system-config=${join(dir, "usr-lib-rkt")}`];
  const children: { pid: number; done: () => boolean }[] = [];

  const run: TestRkt["run"] = (args, options = {}) => {
    const result = spawnSync(RKT, [...globals, ...args], {
      encoding: "utf8",
      input: options.input ?? "",
      cwd: options.cwd ?? dir,
      env: { ...cleanEnvironment(), ...options.env },
      timeout: options.timeout ?? 280_000,
      killSignal: "SIGKILL",
      maxBuffer: 256 * 1024 * 1024,
    });
    return { status: statusOf(result.status, result.signal), stdout: result.stdout, stderr: result.stderr };
  };

  const start: TestRkt["start"] = (args, options = {}) => {
    const child = spawn(RKT, [...globals, ...args], {
      cwd: dir,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let err = "";
    let over = false;
    child.stdout.on("data", (chunk) => {
      out += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      err += String(chunk);
    });
    const ended = new Promise<Result>((done, fail) => {
      child.once("error", fail);
      child.once("exit", (code, signal) => {
        over = true;
        // The pipes may be held open by what is left of a pod; its output so far is what counts.
        setTimeout(() => done({ status: statusOf(code, signal), stdout: out, stderr: err }), 50);
      });
    });
    const pid = child.pid ?? -1;
    children.push({ pid, done: () => over });
    return { pid, stdout: () => out, stderr: () => err, kill: (signal) => void child.kill(signal), ended };
  };

  const rkt: TestRkt = {
    dir,
    dataDir,
    configDir,
    globals,
    run,
    ok: (args, options) => {
      const result = run(args, options);
      if (result.status !== 0)
        throw new Error(`rkt ${args.join(" ")}: status ${result.status}\n${result.stdout}\n${result.stderr}`);
      return result.stdout;
    },
    start,
    pods: () =>
      ["embryo", "prepare", "prepared", "run", "exited-garbage", "garbage"].flatMap((state) => {
        const path = join(dataDir, "pods", state);
        return existsSync(path) ? readdirSync(path) : [];
      }),
    [Symbol.dispose]: () => {
      for (const child of children) if (!child.done()) killProcess(child.pid);
      for (const uuid of rkt.pods()) run(["stop", "--force", uuid]);
      for (let round = 0; round < 3 && rkt.pods().length > 0; round += 1)
        run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
      for (const mount of mountsBelow(dir).reverse()) spawnSync("umount", ["-l", mount]);
      // --one-file-system: what could not be unmounted is somebody else's file system.
      spawnSync("rm", ["-rf", "--one-file-system", dir]);
    },
  };
  return rkt;
}

function cleanEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "dumb" };
}

const SIGNALS: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

function statusOf(code: number | null, signal: string | null): number {
  return code ?? 128 + (SIGNALS[signal ?? ""] ?? 0);
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Mount points at or below `dir`, in mount order. */
export function mountsBelow(dir: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path === dir || path.startsWith(`${dir}/`));
}

/** Waits until `condition` holds, looking every 20 ms; throws after `seconds`. */
export async function until(what: string, condition: () => boolean, seconds = 30): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await Bun.sleep(20);
  }
}
