/** Random numbers that a seed gives again: a failure names its seed. */

/** Gives the next number, 0 ≤ n < 1. */
export type Random = () => number;

/** Mulberry32: 32 bits of state, good enough to spread test cases. `seed`: any integer. */
export function randomNumbers(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer, 0 ≤ n < limit. */
export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/** One of `values`, which must not be empty. */
export function pick<T>(random: Random, values: readonly T[]): T {
  return values[below(random, values.length)] as T;
}

/** A seed from outside (a number in the variable `name`) or a fresh one. Print it. */
export function seedFrom(name: string): number {
  const given = process.env[name];
  if (given === undefined || given === "") return Math.floor(Math.random() * 2 ** 32);
  if (!/^[0-9]+$/.test(given)) throw new Error(`${name} is "${given}", expected a whole number`);
  return Number(given);
}
