/** What the word of a flag means, with an error that names the flag and the whole word. */

import { aboutSubject, RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

/** A flag's value, parsed; what is wrong with it is told with the flag and the whole of it, unless `subject` is named already. */
export function ofFlag<T>(flag: string, word: string, parse: (word: string) => T, subject = quoted(word)): T {
  try {
    return parse(word);
  } catch (error) {
    throw aboutSubject(error, subject, `Cannot use ${quoted(word)} for --${flag}`);
  }
}

/** Throws USAGE unless `word` is a number from `least` to `most`. */
export function wholeNumber(word: string, flag: string, least: number, most: number): number {
  const value = /^-?[0-9]+$/.test(word) ? Number(word) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new RktError("USAGE", `Cannot use ${quoted(word)} for --${flag}: expected a number from ${least} to ${most}`);
  return value;
}
