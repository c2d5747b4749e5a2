/**
 * Worker processes: the parts of rkt that eat what strangers wrote run in a process of their own, confined before it starts (Bun has several threads;
 * no_new_privs, capabilities and filters are per thread, so a process cannot confine itself once it runs).
 *
 * A worker is this same executable as `rkt worker NAME`, started by a small program (confine.c): other user, no capabilities, no_new_privs, an environment made from nothing, and for some limits, Landlock rules and a system call filter. It
 * gets one JSON request on stdin and answers with JSON lines on stdout; files and directories come as descriptors from 3 up, opened by the caller, because the
 * worker may not be able to walk to them. What it answers is untrusted: callers decode it strictly.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import confineProgram from "../../build/confine.elf" with { type: "file" };
import { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import type { Account } from "./accounts.ts";
import { childrenOf } from "./child-processes.ts";
import { type Confinement, confinementWords } from "./confinement.ts";
import { linux } from "./linux.ts";
import { ALIVE } from "./worker-alive.ts";

export type WorkerName = "fetch" | "push" | "verify" | "unpack" | "credentials";

export interface WorkerOptions {
  worker: WorkerName;
  /** The user to become; undefined keeps the caller's (who is not root then). */
  account: Account | undefined;
  /** Supplementary groups to keep (the store's group). */
  groups?: readonly number[];
  /** Descriptors that become 3, 4, … in the worker. */
  descriptors: readonly number[];
  request: unknown;
  /** What it is confined to beyond its user's rights. */
  confinement?: Confinement;
  /** Words that stand before the executable instead: a worker that confines itself in steps (the unpacker). `account`, `groups` and `confinement` are unused then. */
  launcher?: readonly string[];
  /** Variables besides PATH and LANG (proxies, for instance). */
  env?: Readonly<Record<string, string>>;
  /** Milliseconds without a word from the worker, while one is waited for, after which it counts as hung. */
  silence?: number;
}

/** A worker says every ten seconds that it is alive ({@link ALIVE}), however long its work takes. */
const LONGEST_SILENCE = 5 * 60 * 1000;

/** A line longer than this is not from a sane worker. Manifests (at most 4 MiB, base64) are the longest content. */
const LONGEST_LINE = 8 * 1024 * 1024;

export interface Worker {
  /** Messages in order; ends when the worker has ended well. Throws HOST_PROGRAM when it died or wrote nonsense. */
  messages(): AsyncGenerator<unknown>;
  /** Sends another line to the worker's stdin. */
  send(message: unknown): void;
  /** Closes the worker's stdin: it has been asked everything, and ends when it has answered. */
  end(): void;
  /** Ends it at once (when the caller gives up). */
  kill(): void;
  /** Resolves when the worker, and whatever it started, is gone. */
  ended(): Promise<void>;
}

/** Starts a worker. The caller's descriptors stay open and its own. */
export function startWorker(options: WorkerOptions): Worker {
  // The executable is passed as a descriptor: the build tree may lie in a directory that the worker's user cannot enter.
  const executable = openSync("/proc/self/exe", "r");
  const executableNumber = 3 + options.descriptors.length;
  const confine = options.launcher === undefined ? programInMemory() : undefined;
  const [program = "", ...words] = options.launcher ?? [
    `/proc/self/fd/${executableNumber + 1}`,
    ...confinementWords({ ...options, groups: options.groups ?? [], descriptors: options.descriptors.length }),
    "exec",
  ];
  const path = `/proc/self/fd/${executableNumber}`;
  // What confine executes gets its own name as its first word.
  const command = options.launcher === undefined ? [path, "rkt"] : [path];
  const child = spawn(program, [...words, ...command, "worker", options.worker], {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8", ...options.env },
    stdio: [
      ...(["pipe", "pipe", "pipe"] as const),
      ...options.descriptors,
      ...(confine === undefined ? [executable] : [executable, confine]),
    ],
  });
  closeSync(executable);
  if (confine !== undefined) closeSync(confine);
  const ended = new Promise<Ending>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  ended.catch(() => {});
  const gone = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  const kill = () => (options.launcher === undefined ? void child.kill("SIGKILL") : killWorker(child));
  send(child, options.request);
  const starter = options.launcher?.[0] ?? "confine";
  return {
    messages: () =>
      messages(child, options.worker, ended, starter, { longest: options.silence ?? LONGEST_SILENCE, kill }),
    send: (message) => send(child, message),
    end: () => void child.stdin?.end(),
    kill,
    ended: () => gone,
  };
}

/**
 * A launcher that waits for the worker (unshare --fork) has it as its child. That one is killed: the launcher ends when it has seen its end, and with it, as
 * the first process of a pid namespace, the end of everything it started. A killed launcher would end before.
 */
function killWorker(child: ChildProcess): void {
  const children = child.pid === undefined ? [] : childrenOf(child.pid);
  for (const pid of children) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  if (children.length === 0) child.kill("SIGKILL");
}

/** A descriptor of confine, a file in memory: it is a part of the executable, and no place of the host has to be found that may hold programs. */
function programInMemory(): number {
  const fd = linux.memoryFile("confine");
  writeFileSync(fd, readFileSync(confineProgram));
  return fd;
}

function send(child: ChildProcess, message: unknown): void {
  child.stdin?.on("error", () => {}); // A worker that died early is reported by its status, with its last words.
  child.stdin?.write(`${JSON.stringify(message)}\n`);
}

interface Ending {
  code: number | null;
  signal: string | null;
}

async function* messages(
  child: ChildProcess,
  name: string,
  ended: Promise<Ending>,
  starter: string,
  { longest, kill }: { longest: number; kill: () => void },
): AsyncGenerator<unknown> {
  const lastWords: string[] = [];
  child.stderr?.on("data", (chunk: Buffer) => {
    if (lastWords.length < 64) lastWords.push(chunk.toString("utf8"));
  });
  // A character may be cut in two by the pipe; decoding piece by piece would spoil it.
  child.stdout?.setEncoding("utf8");
  const silence = watchSilence(longest, kill);
  let pending = "";
  try {
    silence.start();
    for await (const chunk of child.stdout ?? []) {
      silence.stop();
      pending += String(chunk);
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      if (pending.length > LONGEST_LINE) {
        child.kill("SIGKILL");
        throw workerFailed(name, "it wrote an overlong line", lastWords);
      }
      for (const line of lines) if (line !== ALIVE) yield parseLine(line, name, child);
      silence.start();
    }
    const { code, signal } = await ended.catch((error: unknown) => {
      throw cannotStart(starter, name, error);
    });
    if (silence.wasTooLong()) throw workerFailed(name, `it was silent for ${longest / 1000} s`, lastWords);
    if (code !== 0)
      throw workerFailed(name, signal === null ? `exit status ${code}` : `killed by ${signal}`, lastWords);
  } finally {
    silence.stop();
  }
}

/**
 * Calls `onSilence` when start() was `longest` milliseconds ago and stop() never came. Counted in ticks: of a caller that was itself stopped meanwhile (job control, a sleeping machine) at
 * most one passes, and whatever the worker wrote is read before the next.
 */
function watchSilence(longest: number, onSilence: () => void) {
  const TICKS = 10;
  let timer: ReturnType<typeof setInterval> | undefined;
  let tooLong = false;
  const stop = () => clearInterval(timer);
  return {
    start() {
      stop();
      let passed = 0;
      timer = setInterval(() => {
        passed += 1;
        if (passed < TICKS) return;
        tooLong = true;
        stop();
        onSilence();
      }, longest / TICKS);
    },
    stop,
    wasTooLong: () => tooLong,
  };
}

function parseLine(line: string, name: string, child: ChildProcess): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    child.kill("SIGKILL");
    throw new RktError("HOST_PROGRAM", `Cannot read the answer of the ${name} worker`, { cause });
  }
}

function cannotStart(starter: string, name: string, cause: unknown): RktError {
  const hint = starter === "confine" ? "rkt runs it from memory: vm.memfd_noexec must not be 2" : "install util-linux";
  return new RktError("HOST_PROGRAM", `Cannot start ${quoted(starter)} for the ${name} worker`, { cause, hint });
}

function workerFailed(name: string, how: string, lastWords: readonly string[]): RktError {
  const words = printable(lastWords.join("").trim(), 2000);
  return new RktError(
    "HOST_PROGRAM",
    `Cannot ${name}: the ${name} worker ended early (${how})${words === "" ? "" : `: ${words}`}`,
  );
}
