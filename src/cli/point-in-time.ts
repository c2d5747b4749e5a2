/** Times on the command line of `rkt logs`. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { parseDuration } from "./duration.ts";

/** Seconds since the epoch, of "2026-01-31T12:00:00Z", "2026-01-31 12:00", "@1769860800" or "10m" (ago). Throws USAGE. */
export function readPointInTime(flag: string, text: string, now = Date.now()): number {
  const seconds = /^@([0-9]{1,12}(?:\.[0-9]{1,9})?)$/.exec(text)?.[1];
  if (seconds !== undefined) return Number(seconds);
  if (
    /^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$/.test(
      text,
    )
  ) {
    // A date alone would be taken for UTC.
    const time = Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T"));
    if (!Number.isNaN(time)) return time / 1000;
  }
  if (/^[0-9.]/.test(text)) {
    try {
      return (now - parseDuration(text)) / 1000;
    } catch {
      // Told below, with all that is possible.
    }
  }
  throw new RktError(
    "USAGE",
    `Cannot use ${quoted(text)} for --${flag}: expected a time such as 2026-01-31T12:00:00Z or @1769860800, or how long ago, such as 10m`,
  );
}
