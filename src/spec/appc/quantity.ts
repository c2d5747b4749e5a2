/** Resource quantities: "1G", "16Mi", "500m", "1.5", "2e3" (schema/types/resource/quantity.go, the Kubernetes notation). */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";

/** An amount in billionths, rounded away from zero: a request that is too small to count is still a request. */
export interface Quantity {
  /** As written. */
  readonly text: string;
  readonly nano: bigint;
}

const FORM = /^([+-]?)(\d{0,24})(?:\.(\d{0,24}))?(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})$/;

const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const BINARY: Readonly<Record<string, bigint>> = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n, Ei: 60n };

/** Parses a quantity. Lengths and exponents are limited, so that "1e999999999" costs nothing. Throws INVALID_INPUT. */
export function parseQuantity(text: string): Quantity {
  const match = FORM.exec(text);
  const [, sign = "", whole = "", fraction = "", suffix = ""] = match ?? [];
  if (match === null || whole + fraction === "") {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use ${quoted(text)} as a quantity: expected a number and a unit, such as 16M, 1Gi, 500m or 1.5`,
    );
  }
  const exponent = decimalExponent(suffix);
  const scaled = BigInt(whole + fraction) * 2n ** (BINARY[suffix] ?? 0n);
  // scaled × 10^(exponent - fraction's digits) units = scaled × 10^shift billionths
  const shift = exponent - fraction.length + 9;
  const nano = shift >= 0 ? scaled * 10n ** BigInt(shift) : divideUp(scaled, 10n ** BigInt(-shift));
  return { text, nano: sign === "-" ? -nano : nano };
}

/** Whole units, rounded up ("1G" → 1000000000). Capped at 2^53-1, beyond any machine. */
export function quantityUnits(quantity: Quantity): number {
  return toNumber(quantity.nano, 1_000_000_000n);
}

/** Thousandths, rounded up: milli-cores of a CPU quantity ("500m" → 500, "2" → 2000). */
export function quantityMilli(quantity: Quantity): number {
  return toNumber(quantity.nano, 1_000_000n);
}

function decimalExponent(suffix: string): number {
  if (/^[eE]./.test(suffix)) return Number(suffix.slice(1));
  return DECIMAL[suffix] ?? 0;
}

function toNumber(nano: bigint, unit: bigint): number {
  const value = nano < 0n ? -divideUp(-nano, unit) : divideUp(nano, unit);
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (value > limit) return Number.MAX_SAFE_INTEGER;
  return value < -limit ? -Number.MAX_SAFE_INTEGER : Number(value);
}

/** For amounts of zero and above. */
function divideUp(amount: bigint, divisor: bigint): bigint {
  return (amount + divisor - 1n) / divisor;
}
