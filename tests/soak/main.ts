/**
 * `make soak`: what takes too long for `make test`. Loops, kills, crowds and fuzzing; each part says what it did and what it found, and docs/evidence/soak.md keeps
 * the last result. Variables: SOAK_ROUNDS (200), SOAK_APPS (50), SOAK_KILLS (60 per kind), SOAK_POINTS (6 per phase), SOAK_DOWNLOAD_KILLS (50) of SOAK_DOWNLOAD bytes (300 MB), SOAK_DISKS (20), SOAK_PODS (300), SOAK_CROWDS (20), SOAK_FUZZ (100000 per decoder), SOAK_LAYERS (2000), SOAK_SEED, and
 * SOAK_PARTS, the parts to run (loop,apps,kill,interrupt,pods,crowd,fuzz,cover). Ends with 1 when anything was found.
 */

import { seedFrom } from "../harness/random.ts";
import { coverage } from "./coverage.ts";
import { crowds } from "./crowds.ts";
import { writeEvidence } from "./evidence.ts";
import { fuzzing } from "./fuzzing.ts";
import { interruptions } from "./interruption.ts";
import { kills } from "./kills.ts";
import { loops } from "./loops.ts";
import { manyPods } from "./many-pods.ts";
import { orchestrated } from "./orchestrated.ts";
import type { Part, PartResult } from "./part.ts";

const seed = seedFrom("SOAK_SEED");
const say = (text: string) => console.error(`soak: ${text}`);
const parts: Readonly<Record<string, () => Promise<PartResult[]>>> = {
  loop: () => loops(count("SOAK_ROUNDS", 200), say),
  apps: () => orchestrated(count("SOAK_APPS", 50), say),
  kill: () => kills(count("SOAK_KILLS", 60), seed, say),
  interrupt: () =>
    interruptions(
      {
        points: count("SOAK_POINTS", 6),
        kills: count("SOAK_DOWNLOAD_KILLS", 50),
        bytes: count("SOAK_DOWNLOAD", 300_000_000),
        disks: count("SOAK_DISKS", 20),
      },
      seed,
      say,
    ),
  pods: () => manyPods(count("SOAK_PODS", 300), 30, say),
  crowd: () => crowds(count("SOAK_CROWDS", 20), say),
  fuzz: () => fuzzing(count("SOAK_FUZZ", 100_000), count("SOAK_LAYERS", 2000), seed, say),
  cover: async () => coverage(say),
};

const wanted = (process.env.SOAK_PARTS ?? Object.keys(parts).join(",")).split(",");
const results: Part[] = [];
say(`seed ${seed}`);
for (const name of wanted) {
  const part = parts[name];
  if (part === undefined) throw new Error(`SOAK_PARTS names "${name}", expected ${Object.keys(parts).join(", ")}`);
  const start = performance.now();
  const found = await part();
  results.push({ name, seconds: (performance.now() - start) / 1000, results: found });
}
console.log(writeEvidence(results, seed, wanted.length === Object.keys(parts).length));
process.exitCode = results.some(({ results: all }) => all.some(({ findings }) => findings.length > 0)) ? 1 : 0;

function count(name: string, usual: number): number {
  const value = Number(process.env[name] ?? usual);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} is "${process.env[name]}", expected a number`);
  return value;
}
