/** `--net`: which networks a pod joins. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

export interface NetList {
  /** In the order given, special names included. */
  readonly names: readonly string[];
  /** CNI_ARGS by network ("IP=10.1.2.3;MAC=…"), "" without. */
  args(name: string): string;
  has(name: string): boolean;
  readonly all: boolean;
  /** The host's own network: no namespace. */
  readonly host: boolean;
  /** A namespace with a loopback interface only. */
  readonly none: boolean;
}

const SPECIAL = new Set(["all", "host", "none"]);

/**
 * Parses the comma-separated list of `NAME[:ARG=VALUE;ARG=VALUE]` (rkt 1.x `--net`). Everything after the first colon are the arguments, so that a value may
 * be an IPv6 address. Throws USAGE, in rkt's words where it had any.
 */
export function parseNetList(text: string): NetList {
  const entries = new Map<string, string>();
  for (const word of text.split(",")) {
    const colon = word.indexOf(":");
    const name = colon < 0 ? word : word.slice(0, colon);
    const args = colon < 0 ? "" : word.slice(colon + 1);
    if (name === "") throw new RktError("USAGE", "netname must not be empty");
    if (entries.has(name)) throw new RktError("USAGE", `found duplicate netname ${quoted(name)}`);
    if (colon >= 0 && SPECIAL.has(name)) {
      throw new RktError("USAGE", `arguments are not supported by special netname ${quoted(name)}`);
    }
    if (args !== "" && !args.split(";").every((pair) => /^[^=]+=/.test(pair))) {
      throw new RktError("USAGE", `network ${quoted(name)} provided with invalid arguments: ${quoted(args)}`, {
        hint: "arguments have the form NAME:ARG=VALUE;ARG=VALUE",
      });
    }
    entries.set(name, args);
  }
  for (const alone of ["host", "none"])
    if (entries.has(alone) && entries.size > 1)
      throw new RktError("USAGE", `Cannot use ${quoted(text)} for --net: ${quoted(alone)} stands alone`);
  return {
    names: [...entries.keys()],
    args: (name) => entries.get(name) ?? "",
    has: (name) => entries.has(name),
    all: entries.has("all"),
    host: entries.has("host"),
    none: entries.has("none"),
  };
}
