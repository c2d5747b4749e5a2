/**
 * kill -9 of rkt, alone or with everything it started, at moments spread over a command's whole life and at exact system calls. After each: the next commands
 * understand what is there, the same command then works, and gc leaves nothing.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CHANGES, killAfter, killAtCall, moments } from "../harness/kill-at.ts";
import { type Census, leftBehind, takeCensus } from "../harness/leaks.ts";
import { below, type Random, randomNumbers } from "../harness/random.ts";
import { mountsBelow, RKT, type TestRkt } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";
import { collect, copy, FLY, type Ground, ground, INSECURE, type PartResult, type Say } from "./part.ts";

interface Victim {
  readonly name: string;
  readonly args: (place: Ground) => readonly string[];
  /** What the store has of the image before each round. */
  readonly has: "nothing" | "fetched" | "rendered";
  readonly before?: (place: Ground) => void;
}

const VICTIMS: readonly Victim[] = [
  { name: "fetch", args: ({ large }) => [...INSECURE, "fetch", large], has: "nothing" },
  { name: "unpack", args: ({ large }) => [...INSECURE, "prepare", FLY, large], has: "fetched" },
  { name: "prepare", args: ({ large }) => [...INSECURE, "prepare", large], has: "rendered" },
  { name: "run, nspawn", args: ({ large }) => [...INSECURE, "run", large], has: "rendered" },
  { name: "run, fly", args: ({ large }) => [...INSECURE, "run", FLY, large], has: "rendered" },
  {
    name: "gc",
    args: () => ["gc", "--grace-period=0s"],
    has: "rendered",
    before: ({ rkt, large }) => {
      rkt.ok([...INSECURE, "run", large]);
      rkt.ok([...INSECURE, "run", FLY, large]);
    },
  },
];

export async function kills(count: number, seed: number, say: Say): Promise<PartResult[]> {
  const results: PartResult[] = [];
  for (const [index, victim] of VICTIMS.entries()) {
    using place = ground();
    results.push(await killMany(place, victim, count, randomNumbers(seed + index), say));
  }
  return results;
}

async function killMany(place: Ground, victim: Victim, count: number, random: Random, say: Say): Promise<PartResult> {
  const seed = join(place.rkt.dir, "seed");
  const { rkt } = place;
  prepareStore(place, victim.has);
  copy(rkt.dataDir, seed);
  const before = takeCensus(place.scope);
  const args = victim.args(place);
  const { duration, calls } = measure(place, victim, seed);
  say(`kill, ${victim.name}: it takes ${duration.toFixed(0)} ms and ${calls} system calls`);
  const findings: string[] = [];
  let killed = 0;
  let embryos = 0;
  for (const [round, moment] of moments(random, count, duration * 1.1).entries()) {
    if (findings.length >= 20) break;
    copy(seed, rkt.dataDir);
    victim.before?.(place);
    const atCall = round % 2 === 1;
    const nth = 1 + Math.floor((round / count) * calls);
    const whole = below(random, 2) === 0;
    const result = atCall ? killAtCall(rkt, args, CHANGES, nth) : await killAfter(rkt.start(args), moment, whole);
    if (result.killed) killed += 1;
    const how = atCall ? `at call ${nth}` : `after ${moment.toFixed(1)} ms${whole ? ", with its children" : ""}`;
    const wrong = [...understanding(rkt, args), ...(await emptyAgain(place, before))];
    embryos += embryosOf(rkt);
    findings.push(...wrong.map((text) => `killed ${how}: ${text}`));
    if (round % 5 === 4) say(`kill, ${victim.name}: ${round + 1} of ${count}`);
  }
  const counts = `${count} kills (${killed} of rkt itself) over ${duration.toFixed(0)} ms and ${calls} system calls; ${embryos} embryos, which a gc takes after a minute`;
  return { what: `kill -9 of ${victim.name}`, counts, findings };
}

function prepareStore({ rkt, large }: Ground, has: Victim["has"]): void {
  if (has === "nothing") return;
  rkt.ok([...INSECURE, "fetch", large]);
  if (has === "fetched") return;
  for (const flavor of [[FLY], []]) rkt.ok([...INSECURE, "prepare", ...flavor, large]);
  collect(rkt);
}

/** How long the command takes, in milliseconds, and how many of the calls its main thread makes: the range of the kills. */
function measure(place: Ground, victim: Victim, seed: string): { duration: number; calls: number } {
  const { rkt } = place;
  victim.before?.(place);
  const start = performance.now();
  rkt.ok(victim.args(place));
  const duration = performance.now() - start;
  collect(rkt);
  copy(seed, rkt.dataDir);
  victim.before?.(place);
  const log = join(rkt.dir, "calls");
  const strace = ["--output", log, "-e", `trace=${CHANGES}`, RKT, ...rkt.globals, ...victim.args(place)];
  const result = spawnSync("strace", strace, { encoding: "utf8", cwd: rkt.dir });
  if (result.status !== 0) throw new Error(`strace of ${victim.name}: ${result.stderr}`);
  collect(rkt);
  return { duration, calls: Number(runProgram(["grep", "--count", "(", log])) };
}

/** The commands that a user would give next, and the same command once more. */
function understanding(rkt: TestRkt, args: readonly string[]): string[] {
  const wrong: string[] = [];
  const works = (words: readonly string[]) => {
    const result = rkt.run(words);
    if (result.status !== 0) wrong.push(`rkt ${words.join(" ")}: status ${result.status}: ${result.stderr.trim()}`);
    return result.stdout;
  };
  const list = works(["list", "--format=json"]);
  try {
    JSON.parse(list);
  } catch {
    wrong.push(`list --format=json: ${list}`);
  }
  works(["image", "list"]);
  works(args);
  return wrong;
}

/** gc, until the machine is as it was; pods that were not yet born stay for a minute. */
async function emptyAgain(place: Ground, before: Census): Promise<string[]> {
  const { rkt, scope } = place;
  const wrong = collect(rkt);
  const pods = rkt.pods().length - embryosOf(rkt);
  if (pods > 0) wrong.push(`${pods} pods left after gc: ${rkt.run(["list", "--full"]).stdout}`);
  // Downloads that nobody continues go with `image gc`, when they are old.
  const downloads = join(rkt.dataDir, "cas/tmp");
  runProgram(["find", downloads, "-type", "f", "-exec", "touch", "-d", "2 days ago", "{}", "+"]);
  const images = rkt.run(["image", "gc"]);
  if (images.status !== 0) wrong.push(`image gc: status ${images.status}: ${images.stderr.trim()}`);
  const left = await leftBehind(scope, before);
  wrong.push(...left.filter((line) => !line.includes("/pods/embryo/")).map((line) => `left behind: ${line}`));
  wrong.push(...mountsBelow(rkt.dataDir).map((path) => `left mounted: ${path}`));
  return wrong;
}

function embryosOf(rkt: TestRkt): number {
  const path = join(rkt.dataDir, "pods/embryo");
  return existsSync(path) ? readdirSync(path).length : 0;
}
