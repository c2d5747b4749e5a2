/** Every decoder at length, and layers whose unpacking is compared with what the kernel's overlay shows. */

import { decoders } from "../harness/decoders.ts";
import { describeFinding, fuzz } from "../harness/fuzz.ts";
import { layerDifference } from "../harness/layer-differential.ts";
import type { PartResult, Say } from "./part.ts";

export async function fuzzing(executions: number, layers: number, seed: number, say: Say): Promise<PartResult[]> {
  const results = decoders().map((decoder): PartResult => {
    say(`fuzz: ${decoder.name}`);
    const { accepted, slowest, findings } = fuzz(decoder, seed, executions);
    const counts = `${executions} executions, ${accepted} accepted, slowest ${slowest.toFixed(0)} ms`;
    return { what: `fuzzing: ${decoder.name}`, counts, findings: findings.map(describeFinding) };
  });
  const findings: string[] = [];
  for (let number = 0; number < layers && findings.length < 10; number += 1) {
    const difference = await layerDifference((seed + number) >>> 0);
    if (difference !== undefined) findings.push(difference);
    if (number % 200 === 199) say(`layers: ${number + 1} of ${layers}`);
  }
  const counts = `${layers} images of one to four random layers`;
  return [...results, { what: "layers beside overlayfs and a plain model", counts, findings }];
}
