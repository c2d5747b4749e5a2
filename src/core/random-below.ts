/** A random number from 0 to `below` - 1; `below` at most 2^32. */
export function randomBelow(below: number): number {
  const [number = 0] = crypto.getRandomValues(new Uint32Array(1));
  return number % below;
}
