/** The environment of an app, from its five sources (`rkt run --help`). */

import { readFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isEnvironmentName } from "../spec/appc/mod.ts";

export interface EnvironmentVariable {
  readonly name: string;
  readonly value: string;
}

export interface PodEnvironment {
  /** The caller's own variables (`--inherit-env`): they fill what nobody else sets. */
  readonly inherited: readonly EnvironmentVariable[];
  /** `--set-env-file`, then `--set-env`. */
  readonly fromFiles: readonly EnvironmentVariable[];
  readonly set: readonly EnvironmentVariable[];
}

/**
 * Merges, lowest first: inherited, image, `--set-env-file`, `--set-env`, the app's own `--environment`. (rkt 1.x merged `--set-env` last, against its own help;
 * docs/compatibility.md lists it.) Order: the image's variables first, as the image has them, then new ones in the order of the sources.
 */
export function mergeEnvironment(
  pod: PodEnvironment,
  image: readonly EnvironmentVariable[],
  app: readonly EnvironmentVariable[],
): EnvironmentVariable[] {
  const merged = new Map<string, string>();
  for (const source of [image, pod.fromFiles, pod.set, app]) {
    for (const { name, value } of source) merged.set(name, value);
  }
  for (const { name, value } of pod.inherited) {
    if (!merged.has(name)) merged.set(name, value);
  }
  return [...merged].map(([name, value]) => ({ name, value }));
}

/** Parses `K=V` words of one flag of the pod. Throws USAGE; a key given twice: `key "x" already set` (rkt's words). */
export function parseVariables(words: readonly string[], flag: string): EnvironmentVariable[] {
  const seen = new Set<string>();
  return words.map((word) => {
    const variable = parseVariable(word, flag);
    if (seen.has(variable.name)) throw new RktError("USAGE", `key ${quoted(variable.name)} already set`);
    seen.add(variable.name);
    return variable;
  });
}

/** {@link parseVariables} of a flag of an app: of a key given twice the last counts (rkt 1.x), so that callers can add to what they were given. */
export function parseAppVariables(words: readonly string[], flag: string): EnvironmentVariable[] {
  const byName = new Map(words.map((word) => parseVariable(word, flag)).map(({ name, value }) => [name, value]));
  return [...byName].map(([name, value]) => ({ name, value }));
}

/** As `parse` does, with names that a manifest may have. */
export function parseEnvironment(
  words: readonly string[],
  flag: string,
  parse = parseVariables,
): EnvironmentVariable[] {
  return parse(words, flag).map((variable) => named(variable, `--${flag}`));
}

/** Throws USAGE. */
function named(variable: EnvironmentVariable, where: string): EnvironmentVariable {
  if (isEnvironmentName(variable.name)) return variable;
  throw new RktError(
    "USAGE",
    `environment variable does not have valid identifier ${quoted(variable.name)} (${where})`,
  );
}

function parseVariable(word: string, flag: string): EnvironmentVariable {
  const equals = word.indexOf("=");
  if (equals < 1) throw new RktError("USAGE", `Cannot use ${quoted(word)} for --${flag}: expected NAME=VALUE`);
  return { name: word.slice(0, equals), value: word.slice(equals + 1) };
}

/** Reads files of `K=V` lines; blank lines and lines starting with `#` or `;` are skipped. Throws INVALID_INPUT naming file and line, also of a key that an earlier file has (rkt 1.x). */
export function readVariableFiles(paths: readonly string[]): EnvironmentVariable[] {
  const seen = new Set<string>();
  return paths.flatMap((path) => readVariableFile(path, seen));
}

function readVariableFile(path: string, seen: Set<string>): EnvironmentVariable[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read the environment file ${quoted(path)}`, { cause });
  }
  return text.split("\n").flatMap((raw, index) => {
    // White space at the end is the value's, as for rkt 1.x; a carriage return is not.
    const line = raw.replace(/\r$/, "").trimStart();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) return [];
    const equals = line.indexOf("=");
    if (equals < 1)
      throw new RktError("INVALID_INPUT", `Cannot use line ${index + 1} of ${quoted(path)}: expected NAME=VALUE`);
    const name = line.slice(0, equals);
    if (seen.has(name))
      throw new RktError("INVALID_INPUT", `key ${quoted(name)} already set (line ${index + 1} of ${quoted(path)})`);
    seen.add(name);
    return [named({ name, value: line.slice(equals + 1) }, `line ${index + 1} of ${quoted(path)}`)];
  });
}

/**
 * The caller's environment, without what the runtime or a supervisor put there for rkt itself, and without names that a manifest cannot have: a shell's exported
 * functions ("BASH_FUNC_x%%").
 */
export function callerEnvironment(env: Readonly<Record<string, string | undefined>>): EnvironmentVariable[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value === undefined || !isEnvironmentName(name) || /^(BUN_|RKT_LOCK_FD$|LISTEN_)/.test(name)
      ? []
      : [{ name, value }],
  );
}
