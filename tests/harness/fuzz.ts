/**
 * Fuzzing of a decoder: damaged input, many times over. The decoder must accept it or refuse it with an RktError that is not "internal error"; anything else (a
 * TypeError, an overflow of the stack, a broken promise of its own) is a finding. The same seed gives the same inputs.
 */

import { RktError } from "../../src/core/errors.ts";
import { type Random, randomNumbers } from "./random.ts";

export interface Decoder {
  readonly name: string;
  /** The next input. */
  readonly make: (random: Random) => Buffer;
  /** Decodes and checks what was promised about the result; throws, or rejects, with BrokenPromise when it does not hold. */
  readonly decode: (input: Buffer, random: Random) => unknown;
}

export class BrokenPromise extends Error {}

export interface Finding {
  readonly decoder: string;
  readonly seed: number;
  /** Number of the execution; the same seed and number give the same input. */
  readonly execution: number;
  readonly error: unknown;
  readonly input: Buffer;
}

export interface FuzzResult {
  readonly name: string;
  readonly seed: number;
  readonly executions: number;
  readonly accepted: number;
  /** Milliseconds. */
  readonly slowest: number;
  /** At most ten. */
  readonly findings: readonly Finding[];
}

export async function fuzz(decoder: Decoder, seed: number, executions: number): Promise<FuzzResult> {
  const findings: Finding[] = [];
  let accepted = 0;
  let slowest = 0;
  for (let execution = 0; execution < executions && findings.length < 10; execution += 1) {
    // A generator for each execution: one can be repeated without those before it.
    const random = randomNumbers(seed + execution * 7919);
    const input = decoder.make(random);
    const start = performance.now();
    try {
      const decoded = decoder.decode(input, random);
      // Most decoders wait for nothing: millions of them should not either.
      if (decoded instanceof Promise) await decoded;
      accepted += 1;
      // A key "__proto__" that was assigned instead of kept would be a property of every object from here on.
      for (const key in {}) throw new BrokenPromise(`every object has "${key}" now`);
    } catch (error) {
      if (!(error instanceof RktError) || error.code === "INTERNAL")
        findings.push({ decoder: decoder.name, seed, execution, error, input });
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  return { name: decoder.name, seed, executions, accepted, slowest, findings };
}

/** One finding as text: enough to make a test of it. */
export function describeFinding({ decoder, seed, execution, error, input }: Finding): string {
  const what = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : String(error);
  const shown = input.length > 2000 ? `${input.subarray(0, 2000).toString("latin1")}…` : input.toString("latin1");
  return `${decoder}, seed ${seed}, execution ${execution}: ${what}\ninput (latin1): ${JSON.stringify(shown)}`;
}
