/** Every decoder at length, and layers whose unpacking is compared with what the kernel's overlay shows. */

import { decoders } from "../harness/decoders.ts";
import { describeFinding, fuzz } from "../harness/fuzz.ts";
import { layerDifference } from "../harness/layer-differential.ts";
import type { PartResult, Say } from "./part.ts";

export async function fuzzing(executions: number, layers: number, seed: number, say: Say): Promise<PartResult[]> {
  const results: PartResult[] = [];
  for (const decoder of decoders()) {
    const start = performance.now();
    const { accepted, slowest, findings } = await fuzz(decoder, seed, executions);
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    say(`fuzz: ${decoder.name}: ${seconds} s`);
    const counts = `${executions} executions in ${seconds} s, ${accepted} accepted, slowest ${slowest.toFixed(0)} ms`;
    results.push({ what: `fuzzing: ${decoder.name}`, counts, findings: findings.map(describeFinding) });
  }
  const findings: string[] = [];
  for (let number = 0; number < layers && findings.length < 10; number += 1) {
    const difference = await layerDifference((seed + number) >>> 0);
    if (difference !== undefined) findings.push(difference);
    if (number % 200 === 199) say(`layers: ${number + 1} of ${layers}`);
  }
  const counts = `${layers} images of one to four random layers`;
  return [...results, { what: "layers beside overlayfs and a plain model", counts, findings }];
}
