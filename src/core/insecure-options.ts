/** `--insecure-options`: which checks the operator turned off (rkt 1.x names and meaning; `ondisk` is accepted and ignored). */

import { RktError } from "./errors.ts";
import { quoted } from "./text.ts";

export interface InsecureOptions {
  /** Images need no signature. */
  readonly image: boolean;
  /** Servers need no valid TLS certificate. */
  readonly tls: boolean;
  /** Plain `http` is allowed. */
  readonly http: boolean;
  /** Keys may be fetched over plain http. */
  readonly pubkey: boolean;
  /** Apps keep every capability. */
  readonly capabilities: boolean;
  /** Kernel paths are neither hidden nor read-only. */
  readonly paths: boolean;
  /** No seccomp filter. */
  readonly seccomp: boolean;
}

export const SECURE: InsecureOptions = {
  image: false,
  tls: false,
  http: false,
  pubkey: false,
  capabilities: false,
  paths: false,
  seccomp: false,
};

const FETCH = ["image", "tls", "http", "pubkey"] as const;
const RUN = ["capabilities", "paths", "seccomp"] as const;
const MEANING: Record<string, readonly (keyof InsecureOptions)[]> = {
  none: [],
  image: ["image"],
  tls: ["tls"],
  ondisk: [],
  http: ["http"],
  pubkey: ["pubkey"],
  capabilities: ["capabilities"],
  paths: ["paths"],
  seccomp: ["seccomp"],
  "all-fetch": FETCH,
  "all-run": RUN,
  all: [...FETCH, ...RUN],
};

/** Parses the comma-separated, case-insensitive list. Throws USAGE: `unknown option "x"`, `duplicated option "x"` (rkt's words). */
export function parseInsecureOptions(list: string): InsecureOptions {
  const options: Record<keyof InsecureOptions, boolean> = { ...SECURE };
  const seen = new Set<string>();
  for (const word of list.split(",")) {
    const name = word.trim().toLowerCase();
    const meaning = Object.hasOwn(MEANING, name) ? MEANING[name] : undefined;
    if (meaning === undefined)
      throw new RktError("USAGE", `unknown option ${quoted(word)}`, {
        hint: `one of: ${Object.keys(MEANING).join(", ")}`,
      });
    if (seen.has(name)) throw new RktError("USAGE", `duplicated option ${quoted(word)}`);
    seen.add(name);
    for (const option of meaning) options[option] = true;
  }
  return options;
}
