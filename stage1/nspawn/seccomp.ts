/** Which system calls an app may make, as lines of systemd.exec(5). Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Isolator, seccompFilter, seccompProfile } from "../../src/spec/appc/mod.ts";
import { profileLines } from "./seccomp-profile.ts";
import { CALLS_BY_CAPABILITY, DEFAULT_CALLS, isSystemCall, SECCOMP_SETS } from "./seccomp-sets.ts";

export interface FilterInput {
  readonly app: string;
  readonly isolators: readonly Isolator[];
  /** What the app may have: the default filter allows what these are for. */
  readonly capabilities: readonly string[];
  /** The running kernel's release. */
  readonly kernel: string;
}

/**
 * The [Service] lines; none for an app that asked for no filter. Throws INVALID_INPUT for an unknown set, UNSUPPORTED for a profile that cannot be expressed.
 */
export function filterLines({ app, isolators, capabilities, kernel }: FilterInput): string[] {
  const profile = seccompProfile(isolators);
  if (profile !== undefined) {
    const architecture = process.arch === "x64" ? "amd64" : process.arch;
    return profileLines(profile, { app, capabilities, architecture, kernel });
  }
  const filter = seccompFilter(isolators);
  if (filter === undefined || (filter.mode === "remove" && filter.set.includes("@appc.io/empty"))) {
    return defaultLines(capabilities, filter?.errno || "EPERM");
  }
  if (filter.mode === "retain" && filter.set.includes("@appc.io/all")) return [];
  const line = callLine(filter.mode === "remove" ? "~" : "", filter.set.flatMap(callSet));
  return filter.errno === "" ? [line] : [line, `SystemCallErrorNumber=${filter.errno}`];
}

/** An error for the rest, not a signal: programs that try a newer call and fall back go on working. */
function defaultLines(capabilities: readonly string[], errno: string): string[] {
  const more = capabilities.flatMap((name) => CALLS_BY_CAPABILITY.get(name) ?? []);
  return [
    callLine("", [...DEFAULT_CALLS, ...more]),
    `SystemCallErrorNumber=${errno}`,
    // clone(2) with CLONE_NEWUSER would give every app all capabilities over new namespaces, and with them most of the kernel's attack surface.
    ...(capabilities.includes("CAP_SYS_ADMIN") ? [] : ["RestrictNamespaces=yes"]),
  ];
}

function callLine(mode: "" | "~", calls: readonly string[]): string {
  // An empty list would switch the filter off.
  return `SystemCallFilter=${mode}${(calls.length === 0 ? ["@default"] : [...new Set(calls)]).join(" ")}`;
}

/** The calls that a word of a filter stands for. Throws INVALID_INPUT for one that stands for none. */
export function callSet(word: string): readonly string[] {
  if (isSystemCall(word)) return [word];
  if (!word.startsWith("@"))
    throw new RktError("INVALID_INPUT", `Cannot use ${quoted(word)} as a system call: Linux has none of that name`, {
      hint: "names are those of syscalls(2)",
    });
  const set = SECCOMP_SETS.get(word);
  if (set === undefined)
    throw new RktError("INVALID_INPUT", `Cannot use ${quoted(word)} as a system call: there is no such set`, {
      hint: `sets: ${[...SECCOMP_SETS.keys()].join(", ")}`,
    });
  return set;
}
