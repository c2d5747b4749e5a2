/**
 * Points by name at which `rkt run IMAGE` is killed: system calls of its main thread, which does all that lasts, ordered into phases by what they touch. strace
 * injects the signal, so rkt itself knows nothing of it; and the trace of the killed run tells in which phase it really was. Needs strace.
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CHANGES } from "./kill-at.ts";
import { RKT, type TestRkt } from "./rkt.ts";

/** In the order in which a run of an image that is nowhere yet goes through them; each with the first call that belongs to it. */
const BEGINS = [
  ["fetch", /^flock\(.*\/imagelocks\/fetch>/],
  ["verify", /^openat\(.*\/trustedkeys/],
  ["record", /\/cas\/.*\.new-/],
  ["unpack", /\/treestorelocks\//],
  ["prepare", /\/pods\/embryo\//],
  ["network set-up", /\/\.netns\.new/],
  ["hand-over", /^rename\(.*\/net-info\.json"/],
] as const;

export type Phase = (typeof BEGINS)[number][0];
export const PHASES: readonly Phase[] = BEGINS.map(([phase]) => phase);

export interface FailPoint {
  readonly phase: Phase;
  readonly call: string;
  /** The how many-th of that name, 1 is the first. */
  readonly nth: number;
}

export interface TracedRun {
  /** 137 when it was killed. */
  readonly status: number;
  readonly stderr: string;
  /** Undefined: it was killed before the first phase, or had become the pod. */
  readonly phase: Phase | undefined;
  /** Every point that the run passed. */
  readonly points: readonly FailPoint[];
}

/** Calls whose number is the same in every run: files are opened by the runtime too, for itself. */
const COUNTED = `${CHANGES},socketpair,vfork,pidfd_open,sendto,kill`.split(",");

/** Runs `rkt ARGS`, to its end or to the fail point. */
export function traceRun(rkt: TestRkt, args: readonly string[], point?: FailPoint): TracedRun {
  const output = join(rkt.dir, "fail-points");
  const inject = point === undefined ? [] : ["-e", `inject=${point.call}:signal=SIGKILL:when=${point.nth}`];
  const traced = `trace=${[...COUNTED, "openat", "openat2"].join(",")}`;
  const result = spawnSync(
    "strace",
    [
      "--quiet=all",
      "--decode-fds=path",
      "--string-limit=300",
      `--output=${output}`,
      "-e",
      traced,
      ...inject,
      RKT,
    ].concat(rkt.globals, args),
    { encoding: "utf8", cwd: rkt.dir, input: "", timeout: 280_000, killSignal: "SIGKILL" },
  );
  if (result.error !== undefined) throw result.error;
  const { phase, points } = readTrace(readFileSync(output, "utf8"));
  const killed = result.signal === "SIGKILL" || result.status === 137;
  return { status: killed ? 137 : (result.status ?? 255), stderr: result.stderr, phase, points };
}

/** strace goes on into what rkt becomes: the second execve ends what is rkt's. */
function readTrace(text: string): { phase: Phase | undefined; points: FailPoint[] } {
  const counts = new Map<string, number>();
  const points: FailPoint[] = [];
  let at = -1;
  for (const line of text.split("\n")) {
    const call = /^([a-z0-9_]+)\(/.exec(line)?.[1];
    if (call === undefined) continue;
    const next = BEGINS[at + 1];
    if (next?.[1].test(line)) at += 1;
    const phase = BEGINS[at]?.[0];
    if (!COUNTED.includes(call)) continue;
    const nth = (counts.get(call) ?? 0) + 1;
    counts.set(call, nth);
    if (phase !== undefined) points.push({ phase, call, nth });
    if (call === "execve" && nth > 1 && / = 0$/.test(line)) return { phase: undefined, points };
  }
  return { phase: BEGINS[at]?.[0], points };
}

/** `count` points of each phase, spread over it. Throws when a phase has none: then its landmark is not what it was. */
export function choosePoints(points: readonly FailPoint[], count: number): FailPoint[] {
  return PHASES.flatMap((phase) => {
    const all = points.filter((point) => point.phase === phase);
    if (all.length === 0) throw new Error(`no system call of the phase "${phase}" was seen`);
    return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)]).filter(
      (point) => point !== undefined,
    );
  });
}
