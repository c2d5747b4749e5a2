/**
 * Killing rkt with SIGKILL: after a time, or at an exact system call (strace injects the signal at the nth `renameat2`, say, so that a state between two steps is
 * met each time and not by luck). What is killed: rkt alone, or rkt with everything it has started, as a power cut would.
 */

import { spawnSync } from "node:child_process";
import { descendantsOf } from "./processes.ts";
import type { Random } from "./random.ts";
import { type Result, RKT, type RunningRkt, type TestRkt } from "./rkt.ts";

export interface Killed {
  /** False: it had ended by itself before. */
  readonly killed: boolean;
  readonly result: Result;
}

/** Kills `running` after `milliseconds` unless it has ended. `whole`: its descendants too. */
export async function killAfter(running: RunningRkt, milliseconds: number, whole = false): Promise<Killed> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let killed = false;
  const time = new Promise<void>((done) => {
    timer = setTimeout(done, milliseconds);
  });
  await Promise.race([running.ended, time]);
  clearTimeout(timer);
  // Stopped first: otherwise it could start another process between the look at its children and the signal.
  if (signal(running.pid, "SIGSTOP")) {
    const doomed = whole ? descendantsOf(running.pid) : [];
    killed = signal(running.pid, "SIGKILL");
    for (const pid of doomed) signal(pid, "SIGKILL");
  }
  const result = await running.ended;
  return { killed: killed && result.status === 128 + 9, result };
}

/** Kills running descendants only (a worker), as the kernel does when memory runs out; rkt itself goes on. Gives how many. */
export function killChildren(pid: number): number {
  return descendantsOf(pid).filter((child) => signal(child, "SIGKILL")).length;
}

/** System calls that change what the next command sees. */
export const CHANGES =
  "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat,link,linkat,fchmod,fchmodat,fchown,fchownat," +
  "ftruncate,flock,mount,umount2,move_mount,fsmount,open_tree,unshare,setns,execve,fsync";

/**
 * Runs `rkt ARGS` to its end, killed on entering the nth of `calls` that one of its threads makes (1 is the first). A worker or plugin that gets there first is killed
 * in rkt's place; `killed` then says whether rkt itself was. Needs strace (whose --seccomp-bpf loses injected signals: not used).
 */
export function killAtCall(rkt: TestRkt, args: readonly string[], calls: string, nth: number): Killed {
  const inject = `inject=${calls}:signal=SIGKILL:when=${nth}`;
  const result = spawnSync(
    "strace",
    ["--follow-forks", "--quiet=all", "--output=/dev/null", "-e", `trace=${calls}`, "-e", inject, RKT]
      .concat(rkt.globals)
      .concat(args),
    { encoding: "utf8", cwd: rkt.dir, timeout: 280_000, killSignal: "SIGKILL", input: "" },
  );
  if (result.error !== undefined) throw result.error;
  if (result.stderr.startsWith("strace:")) throw new Error(result.stderr);
  // strace ends as the first traced program did.
  const killed = result.signal === "SIGKILL" || result.status === 137;
  const status = result.status ?? (killed ? 137 : 255);
  return { killed, result: { status, stdout: result.stdout, stderr: result.stderr } };
}

/** `count` moments spread over 0 … longest milliseconds, at random within even parts of it, so that none of the time is left out. */
export function moments(random: Random, count: number, longest: number): number[] {
  return Array.from({ length: count }, (_, index) => ((index + random()) / count) * longest);
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}
