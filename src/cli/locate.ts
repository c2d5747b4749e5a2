/** Finds which command a command line names, wherever among the flags its name stands. Pure. */

import { quoted } from "../core/text.ts";
import type { CommandEntry, FlagSpec } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";

export interface Located {
  readonly entry: CommandEntry | undefined;
  /** The words without the command's name. */
  readonly rest: readonly string[];
}

/**
 * Takes the first word that is neither a flag nor a flag's value as the command's name. What is not known at this point (the flags of the command itself) is
 * taken to have a value in the next word, unless it is written `--flag=value`: the rule of rkt 1.x, so `rkt --net=host run X` works and `rkt --net host run X`
 * does too. `path` is what was located before ("rkt", "rkt image"). Throws CommandLineError for a name that is no command.
 */
export function locate(
  entries: readonly CommandEntry[],
  globalSpecs: readonly FlagSpec[],
  words: readonly string[],
  path: string,
): Located {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "--") break;
    if (word.startsWith("-") && word.length > 1) {
      if (!word.includes("=") && takesNextWord(globalSpecs, word)) i++;
    } else if (word !== "") {
      return { entry: findEntry(entries, word, path), rest: words.toSpliced(i, 1) };
    }
  }
  return { entry: undefined, rest: words };
}

/** The entry of that name, or the only one that begins with it; of several the only one that rkt 1.x had. Throws CommandLineError, with what was perhaps meant. */
export function findEntry(entries: readonly CommandEntry[], word: string, path: string): CommandEntry {
  const exact = entries.find(({ name }) => name === word);
  if (exact !== undefined) return exact;
  const fitting = entries.filter(({ name }) => name.startsWith(word));
  const [only, ...others] = fitting.length > 1 ? fitting.filter(({ added }) => added !== true) : fitting;
  if (only !== undefined && others.length === 0) return only;
  const visible = entries.filter(({ hidden }) => hidden !== true);
  throw new CommandLineError(
    `unknown command ${quoted(word)} for ${quoted(path)}${suggestions(visible, word)}`,
    `Run '${path} --help' for usage.`,
  );
}

function takesNextWord(globalSpecs: readonly FlagSpec[], word: string): boolean {
  if (word === "-h" || word === "--help") return false;
  const spec = globalSpecs.find(({ name }) => `--${name}` === word);
  return spec === undefined || (spec.kind !== "bool" && spec.bare === undefined);
}

function suggestions(entries: readonly CommandEntry[], word: string): string {
  const typed = word.toLowerCase();
  const near = entries.filter(({ name }) => name.startsWith(typed) || editDistance(typed, name) <= 2);
  if (near.length === 0) return "";
  return `\n\nDid you mean this?\n${near.map(({ name }) => `\t${name}\n`).join("")}`;
}

/** Levenshtein distance. Words longer than any command are not worth the work. */
function editDistance(a: string, b: string): number {
  if (a.length > 40) return a.length;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? a.length;
}
