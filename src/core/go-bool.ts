/** Truth values as rkt 1.x takes them in flags, volumes and annotations (Go's strconv.ParseBool). */

import { RktError } from "./errors.ts";
import { quoted } from "./text.ts";

/** Undefined for a word that is neither true nor false. */
export function goBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** Throws `code` in Go's words. */
export function parseGoBool(text: string, code: "USAGE" | "INVALID_INPUT"): boolean {
  const value = goBool(text);
  if (value !== undefined) return value;
  throw new RktError(code, `strconv.ParseBool: parsing ${quoted(text)}: invalid syntax`);
}
