/** Flags of `run` and `run-prepared` that say how a pod is started. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { DnsOptions } from "../stage0/resolver-files.ts";
import { type IsolationName, parseRequiredIsolation } from "../stage1-contract/mod.ts";
import type { FlagValues } from "./command.ts";
import { readDnsOptions } from "./pod-options.ts";

export interface GivenStartOptions {
  readonly net: string;
  readonly interactive: boolean;
  readonly hostname: string | undefined;
  readonly ipc: string;
  readonly dns: DnsOptions;
  /** `--require`. */
  readonly require: readonly IsolationName[];
  /** `--mds-register`. */
  readonly registers: boolean;
}

/** Throws USAGE. `has` false: of a pod that takes neither --ipc nor --interactive. */
export function readStartOptions(flags: FlagValues, { has = true } = {}): GivenStartOptions {
  const ipc = has ? flags.string("ipc") : "";
  if (!["", "auto", "private", "parent"].includes(ipc))
    throw new RktError("USAGE", `unknown value for --ipc parameter: ${ipc}`);
  const hostname = flags.string("hostname");
  if (hostname !== "" && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(hostname)) {
    throw new RktError(
      "USAGE",
      `Cannot use ${quoted(hostname)} for --hostname: expected letters, digits, "-" and ".", at most 64`,
    );
  }
  const net = flags.list("net").join(",");
  // Not the default network: of a script's variable that is not set, nobody knows what it was to say.
  if (net === "" && flags.given("net")) throw new RktError("USAGE", "netname must not be empty");
  return {
    net: net || "default",
    interactive: has && flags.bool("interactive"),
    hostname: hostname === "" ? undefined : hostname,
    ipc,
    dns: readDnsOptions(flags),
    require: parseRequiredIsolation(flags.list("require")),
    registers: has && flags.bool("mds-register"),
  };
}
