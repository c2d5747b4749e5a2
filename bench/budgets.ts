/** What rkt has promised itself, held against what was measured in the same run. Ratios count more than milliseconds: machines differ. */

import { byHandName, fetchName, podmanName, tarName } from "./fetch.ts";
import { EMPTY } from "./list.ts";
import { median, type Timed } from "./measure.ts";
import type { Peak } from "./memory.ts";
import type { Resident } from "./resident.ts";
import { FLOOR } from "./start.ts";
import { WITH, WITHOUT } from "./users.ts";

export interface Verdict {
  readonly what: string;
  readonly budget: string;
  readonly measured: string;
  /** Milliseconds only: what that would be on the machine on which the budgets were set ({@link slowness}). */
  readonly there?: string;
  /** "floor": missed, but as near to what is below rkt as was promised. */
  readonly verdict: "met" | "missed" | "floor" | "not measured";
}

export interface Measurements {
  readonly start: readonly Timed[];
  readonly users: readonly Timed[];
  readonly list: readonly Timed[];
  readonly fetch: readonly Timed[];
  readonly memory: readonly Peak[];
  readonly resident: readonly Resident[];
}

const MB = 1_000_000;

/** Milliseconds that an empty program took on the machine on which the budgets were set. */
const START_OF_RUNTIME = 22;

/** Milliseconds that programs of others took there. */
const OTHERS_THERE: readonly (readonly [name: string, milliseconds: number])[] = [
  ["crun --version", 8],
  ["podman --version", 100],
  ["crun run", 34],
  ["runc run", 90],
  ["podman run --rm --net=host", 270],
  ["systemd-nspawn, one process", 71],
  [FLOOR, 165],
];

/** How much longer programs of others take here than on the machine on which the budgets were set: the geometric mean. */
export function slowness(found: Measurements): number {
  const times = medians(found);
  const ratios = OTHERS_THERE.flatMap(([name, there]) => {
    const here = times.get(name);
    return here === undefined || !Number.isFinite(here) ? [] : [here / there];
  });
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

function medians(found: Measurements): Map<string, number> {
  const all = [...found.start, ...found.users, ...found.list, ...found.fetch];
  return new Map(all.map(({ name, milliseconds }) => [name, median(milliseconds)]));
}

export function verdicts(found: Measurements): Verdict[] {
  const times = medians(found);
  const slower = slowness(found);
  const time = (name: string) => times.get(name) ?? Number.NaN;
  /** How much slower than promised the runtime itself starts here: no program of it can make up for that. */
  const late = Math.max(0, time(EMPTY) - START_OF_RUNTIME);
  const within = (what: string, name: string, limit: number): Verdict => ({
    what,
    budget: `≤ ${limit} ms`,
    measured: `${time(name).toFixed(0)} ms`,
    there: `${(time(name) / slower).toFixed(0)} ms`,
    verdict: judge(time(name), limit, limit + late),
  });
  const relative = (what: string, name: string, factor: number, peer: string, floor?: number): Verdict => ({
    what,
    budget: `≤ ${factor === 1 ? "" : `${factor} × `}${peer}`,
    measured: `${(time(name) / time(peer)).toFixed(2)} × ${peer}`,
    verdict: judge(time(name), factor * time(peer), floor),
  });
  const overFloor = time("rkt run, nspawn, --net=host") - time(FLOOR);
  const aboveRaw: Verdict = {
    what: "`rkt run`, nspawn",
    budget: "≤ the same stage1 booted by hand + 70 ms",
    measured: `${overFloor >= 0 ? "+" : "−"}${Math.abs(overFloor).toFixed(0)} ms`,
    there: `${overFloor >= 0 ? "+" : "−"}${(Math.abs(overFloor) / slower).toFixed(0)} ms`,
    verdict: judge(overFloor, 70, 70 + late),
  };
  const mapping = time(WITH) - time(WITHOUT);
  const ownUsers: Verdict = {
    what: "users of its own for a pod of a 200 MB image",
    budget: "≤ the same without + 50 ms",
    measured: `${mapping >= 0 ? "+" : "−"}${Math.abs(mapping).toFixed(0)} ms`,
    there: `${mapping >= 0 ? "+" : "−"}${(Math.abs(mapping) / slower).toFixed(0)} ms`,
    verdict: judge(mapping, 50),
  };
  const nspawn = within("`rkt run`, nspawn", "rkt run, nspawn, --net=host", 250);
  return [
    within("`rkt version`", "rkt version", 30),
    within("`rkt list` of 10 pods", "rkt list, 10 pods", 45),
    within("`rkt list` of 1000 pods", "rkt list, 1000 pods", 100),
    within("`rkt run`, fly", "rkt run, fly", 75),
    { ...nspawn, verdict: nspawn.verdict === "missed" && aboveRaw.verdict === "met" ? "floor" : nspawn.verdict },
    aboveRaw,
    ownUsers,
    ...["gzip", "zstd"].flatMap((tag) => [
      relative("fetch, verify, unpack", fetchName(tag), 1, tarName(tag), time(byHandName(tag))),
      relative("fetch, verify, unpack", fetchName(tag), 0.5, podmanName(tag)),
    ]),
    ...memoryVerdicts(found.memory),
    residentVerdict(found.resident),
  ];
}

function memoryVerdicts(peaks: readonly Peak[]): Verdict[] {
  const own = peaks.filter(({ name }) => name.startsWith("rkt "));
  const worst = Math.max(...own.map(({ together }) => together));
  const growth = ["gzip", "zstd"].map((tag) => {
    const [small, large] = own.filter(({ name }) => name.endsWith(tag));
    return (large?.together ?? Number.NaN) / (small?.together ?? Number.NaN);
  });
  const worstGrowth = Math.max(...growth);
  return [
    {
      what: "peak memory of a fetch",
      budget: "≤ 150 MB",
      measured: `${(worst / MB).toFixed(0)} MB`,
      verdict: judge(worst, 150 * MB),
    },
    {
      what: "the same for an image three times as large",
      budget: "flat (≤ 1.15 ×)",
      measured: `${worstGrowth.toFixed(2)} ×`,
      verdict: judge(worstGrowth, 1.15),
    },
  ];
}

function residentVerdict(found: readonly Resident[]): Verdict {
  const pods = found.filter(({ name }) => name.startsWith("rkt "));
  const ours = pods.flatMap(({ processes }) => processes).filter(({ name }) => !/systemd/.test(name));
  const absent = pods.length === 0 || pods.some((one) => one.absent !== undefined);
  return {
    what: "processes besides systemd-nspawn, systemd and the app while a pod runs",
    budget: "none",
    measured: ours.length === 0 ? "none" : ours.map(({ name }) => name).join("; "),
    verdict: absent ? "not measured" : ours.length === 0 ? "met" : "missed",
  };
}

/** `floor`: what cannot be done in less, measured in the same run. */
function judge(value: number, limit: number, floor = limit): Verdict["verdict"] {
  if (!Number.isFinite(value) || !Number.isFinite(limit)) return "not measured";
  if (value <= limit) return "met";
  return value <= floor ? "floor" : "missed";
}
