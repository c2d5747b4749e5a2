/** Durations as rkt's flags take them: the syntax of Go's time.ParseDuration. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const WHOLE = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;

/** "1h30m", "250ms", "-1.5h", "0" → milliseconds. A number without a unit is refused, as Go does. Throws USAGE. */
export function parseDuration(text: string): number {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!WHOLE.test(text))
    throw new RktError("USAGE", `time: invalid duration ${quoted(text)}`, {
      hint: 'numbers with units, such as "30m" or "1h15m30s"',
    });
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(PART)) sum += Number(amount) * (MILLISECONDS[unit ?? ""] ?? 0);
  return text.startsWith("-") ? -sum : sum;
}
