/**
 * What keeps a pod apart, by name: what a stage1 image declares that it can give (an annotation), what a start would give, and what a started pod was given (the file
 * `isolation` in its directory, written by stage1 right before the hand-over).
 */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { RunArguments } from "./run-arguments.ts";

/** Namespaces first (namespaces(7)), then rights, then what lies below the kernel. */
export const ISOLATION_NAMES = [
  ...(["mount", "pid", "ipc", "uts", "network", "cgroup", "userns"] as const),
  ...(["capabilities", "seccomp", "devices", "selinux"] as const),
  // vm: a kernel of its own. kvm: with the processor's help, not emulated. measured: in the machine's TPM before it started.
  ...(["vm", "kvm", "measured"] as const),
] as const;
export type IsolationName = (typeof ISOLATION_NAMES)[number];

export const NAMESPACE_NAMES = ["mount", "pid", "ipc", "uts", "network", "cgroup", "userns"] as const;

/** Names with what is to be said about them ("userns" → "478216192:65536"); "" where the name says it all. In the order of {@link ISOLATION_NAMES}. */
export type Isolation = ReadonlyMap<IsolationName, string>;

/** Words of the annotation. A word that this version does not know is passed over: a newer image may give more. */
export function parseDeclaredIsolation(text: string): IsolationName[] {
  const words = text.split(",").map((word) => word.trim());
  return ISOLATION_NAMES.filter((name) => words.includes(name));
}

/** Words of `--require`. Throws USAGE: a misspelt one would require nothing. */
export function parseRequiredIsolation(words: readonly string[]): IsolationName[] {
  return words.map((word) => {
    const name = ISOLATION_NAMES.find((known) => known === word);
    if (name !== undefined) return name;
    throw new RktError(
      "USAGE",
      `Cannot use ${quoted(word)} for --require: expected ${ISOLATION_NAMES.slice(0, -1).join(", ")} or ${ISOLATION_NAMES.at(-1)}`,
    );
  });
}

export type IsolatingArguments = Pick<
  RunArguments,
  "net" | "ipc" | "privateUsers" | "disableCapabilitiesRestriction" | "disablePaths" | "disableSeccomp"
>;

/** What is left of what a stage1 can give when it is started this way. `unfiltered`: an app asked to have no filter. Pure. */
export function isolationOf(
  declared: readonly IsolationName[],
  run: IsolatingArguments,
  unfiltered: boolean,
): Map<IsolationName, string> {
  const without = new Set<IsolationName>([
    ...(run.net.split(",").includes("host") ? (["network"] as const) : []),
    ...(run.ipc === "parent" ? (["ipc"] as const) : []),
    ...(run.privateUsers === undefined ? (["userns"] as const) : []),
    ...(run.disableCapabilitiesRestriction ? (["capabilities"] as const) : []),
    ...(run.disablePaths ? (["devices"] as const) : []),
    ...(run.disableSeccomp || unfiltered ? (["seccomp"] as const) : []),
  ]);
  const left = declared.filter((name) => !without.has(name));
  return new Map(left.map((name) => [name, name === "userns" ? (run.privateUsers ?? "") : ""]));
}

/** A line each: NAME, or NAME=WHAT. */
export function formatIsolation(isolation: Isolation): string {
  return [...isolation].map(([name, about]) => `${name}${about === "" ? "" : `=${about}`}\n`).join("");
}

/** Reads what {@link formatIsolation} wrote, by this or another version: lines of another form are passed over. */
export function parseIsolation(text: string): Isolation {
  const found = new Map(
    text.split("\n").map((line): [string, string] => {
      const equals = line.indexOf("=");
      return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );
  return new Map(ISOLATION_NAMES.flatMap((name) => (found.has(name) ? [[name, found.get(name) ?? ""]] : [])));
}
