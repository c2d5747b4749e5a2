/** What a command and everything it starts ask of the kernel, as strace(1) tells it. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Result, RKT, type TestRkt } from "./rkt.ts";

export interface SystemCall {
  /** The thread. */
  readonly tid: number;
  readonly name: string;
  /** Arguments as strace prints them, descriptors with what they stand for. */
  readonly args: string;
  /** "0", "-1 ENOENT (…)", "?" for a call that never came back. */
  readonly result: string;
}

/** Runs `rkt ARGS` to its end under strace; the calls of `trace` (strace's -e trace=) in the order in which they began. */
export function traceRkt(
  rkt: TestRkt,
  args: readonly string[],
  trace: string,
): { result: Result; main: number; calls: SystemCall[] } {
  const output = join(rkt.dir, "strace");
  const options = ["--follow-forks", "--quiet=all", "--decode-fds=path", "--string-limit=4096", `--output=${output}`];
  const child = spawnSync("strace", [...options, "-e", `trace=${trace}`, RKT, ...rkt.globals, ...args], {
    encoding: "utf8",
    cwd: rkt.dir,
    input: "",
    timeout: 280_000,
    killSignal: "SIGKILL",
  });
  if (child.error !== undefined) throw child.error;
  const calls = parseTrace(readFileSync(output, "utf8"));
  const result = { status: child.status ?? -1, stdout: child.stdout, stderr: child.stderr };
  return { result, main: calls[0]?.tid ?? -1, calls };
}

/** Calls that another thread's interrupted in the output are put together again. */
export function parseTrace(text: string): SystemCall[] {
  const calls: { tid: number; name: string; args: string; result: string }[] = [];
  const unfinished = new Map<number, number>();
  for (const line of text.split("\n")) {
    const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*?)\)? += (.*)$/.exec(line);
    if (resumed !== null) {
      const call = calls[unfinished.get(Number(resumed[1])) ?? -1];
      if (call !== undefined) {
        call.args += resumed[3] ?? "";
        call.result = resumed[4] ?? "";
      }
      continue;
    }
    const begun = /^(\d+) +(\w+)\((.*?)(?:\) += (.*)| <unfinished \.\.\.>)$/.exec(line);
    if (begun === null) continue;
    const tid = Number(begun[1]);
    if (begun[4] === undefined) unfinished.set(tid, calls.length);
    calls.push({ tid, name: begun[2] ?? "", args: begun[3] ?? "", result: begun[4] ?? "?" });
  }
  return calls;
}

/** The threads of the process `main`, by the clone calls in `calls` (trace them). */
export function threadsOf(main: number, calls: readonly SystemCall[]): Set<number> {
  const threads = new Set([main]);
  for (const { tid, name, args, result } of calls) {
    if (!/^clone3?$/.test(name) || !args.includes("CLONE_THREAD") || !threads.has(tid)) continue;
    const made = /^(\d+)/.exec(result)?.[1] ?? /parent_tid=\[(\d+)\]/.exec(result)?.[1];
    if (made !== undefined) threads.add(Number(made));
  }
  return threads;
}
