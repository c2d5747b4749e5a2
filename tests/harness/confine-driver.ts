/** A worker that tries what it should not be able to do: `driver SETUP` starts it confined, with the directories of SETUP as descriptors, and prints what it could do. */

import { read } from "bun:ffi";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Confinement } from "../../src/host/confinement.ts";
import { errnoName } from "../../src/host/errno.ts";
import { libc } from "../../src/host/libc.ts";
import { limitMemory } from "../../src/host/limit-memory.ts";
import { linux } from "../../src/host/mod.ts";
import { startWorker } from "../../src/host/worker.ts";
import { answer, requests } from "../../src/host/worker-side.ts";

export interface Setup {
  readonly confinement: Confinement;
  readonly account: { name: string; uid: number; gid: number } | undefined;
  /** Directories that become descriptors 3, 4, … */
  readonly directories: readonly string[];
  readonly tries: readonly Try[];
}

export interface Try {
  readonly action:
    | "read"
    | "list"
    | "write"
    | "make"
    | "rename"
    | "listen"
    | "connect"
    | "allocate"
    | "threads"
    | "limits"
    | "kill"
    | "call";
  /** Path, port, or a number; of a call: its number and arguments. */
  readonly what: string;
}

const [first = ""] = process.argv.slice(2);
if (first === "worker") await work();
else await start(JSON.parse(first) as Setup);

async function start({ confinement, account, directories, tries }: Setup): Promise<void> {
  const descriptors = directories.map((path) => openSync(path, "r"));
  const worker = startWorker({ worker: "verify", account, descriptors, request: tries, confinement });
  for await (const message of worker.messages()) console.log(JSON.stringify(message));
  for (const fd of descriptors) closeSync(fd);
}

async function work(): Promise<void> {
  limitMemory(linux, 256 * 1024 * 1024);
  for await (const tries of requests()) {
    const results: string[] = [];
    for (const one of tries as Try[]) results.push(await attempt(one));
    answer(results);
    break;
  }
  process.exit(0);
}

/** "ok", the code of the error, or what was asked for. */
async function attempt({ action, what }: Try): Promise<string> {
  try {
    return (await carryOut(action, what)) ?? "ok";
  } catch (error) {
    if (error instanceof RangeError || (error instanceof Error && /memory|allocat/i.test(error.message)))
      return "no memory";
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

async function carryOut(action: Try["action"], what: string): Promise<string | undefined> {
  switch (action) {
    case "read":
      return void readFileSync(what);
    case "list":
      return void readdirSync(what);
    case "write":
      return void writeFileSync(what, "x");
    case "make":
      mkdirSync(what);
      return void rmSync(what, { recursive: true });
    case "rename":
      return void renameSync(what, `${what}.renamed`);
    case "kill":
      return void process.kill(Number(what), 0);
    case "call": {
      const [number = 0, first = 0, second = 0, third = 0] = what.split(" ").map(Number);
      if (Number(libc.syscall(number, first, second, third, 0, 0, 0)) >= 0) return undefined;
      const location = libc.__errno_location();
      return errnoName(location === null ? 0 : read.i32(location, 0));
    }
    case "listen":
      return await new Promise<undefined>((resolve, reject) => {
        const server = createServer().once("error", reject);
        server.listen(Number(what), "127.0.0.1", () => server.close(() => resolve(undefined)));
      });
    case "connect":
      return await new Promise<undefined>((resolve, reject) => {
        const socket = connect(Number(what), "127.0.0.1").once("error", reject);
        socket.once("connect", () => {
          socket.destroy();
          resolve(undefined);
        });
      });
    case "allocate": {
      const pieces: Buffer[] = [];
      for (let size = 0; size < Number(what); size += 16 * 1024 * 1024) pieces.push(Buffer.alloc(16 * 1024 * 1024, 1));
      return undefined;
    }
    case "threads":
      return readdirSync("/proc/self/task")
        .map((id) => readFileSync(`/proc/self/task/${id}/status`, "utf8"))
        .map((text) => `${/NoNewPrivs:\t(\d)/.exec(text)?.[1]}${/Seccomp:\t(\d)/.exec(text)?.[1]}`)
        .join(" ");
    case "limits":
      return readFileSync("/proc/self/limits", "utf8");
  }
}
