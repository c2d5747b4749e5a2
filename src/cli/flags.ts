/**
 * The flag grammar: the words after a command's name become flags, arguments and images. Pure.
 *
 * Flags are accepted anywhere: before the command's name (locate.ts took that out), after it, and after images. After an image the image's own flags come
 * first, then the command's, then the global ones. `--flag=value` and `--flag value` are the same, except that bools and flags with a bare form never take the
 * next word. `--` opens an image's arguments and `---` closes them.
 */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Command, FlagSpec, FlagValues, ImageArgument } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";
import { checkValue, flagValues, type GivenFlags } from "./flag-values.ts";

export interface ParsedWords {
  readonly globals: FlagValues;
  readonly flags: FlagValues;
  readonly args: readonly string[];
  readonly images: readonly ImageArgument[];
  /** `--help` or `-h` was met; what follows it was not looked at. */
  readonly help: boolean;
  /** Lines about deprecated flags, to be shown. */
  readonly deprecations: readonly string[];
}

interface OpenImage {
  readonly image: string;
  readonly given: GivenFlags;
  args: string[] | undefined;
}

interface Parse {
  readonly command: Command;
  readonly globalSpecs: readonly FlagSpec[];
  readonly words: readonly string[];
  next: number;
  readonly globals: GivenFlags;
  readonly flags: GivenFlags;
  readonly args: string[];
  readonly images: OpenImage[];
  readonly deprecations: string[];
}

/**
 * Parses the words of `command`. Throws {@link CommandLineError} for what stands before the first image, and USAGE `error parsing app image arguments: …` for the
 * rest, as rkt 1.x did.
 */
export function parseWords(command: Command, globalSpecs: readonly FlagSpec[], words: readonly string[]): ParsedWords {
  const state: Parse = {
    command,
    globalSpecs,
    words,
    next: 0,
    globals: new Map(),
    flags: new Map(),
    args: [],
    images: [],
    deprecations: [],
  };
  let help = false;
  try {
    help = command.imageFlags === undefined ? parseArguments(state) : parseImages(state);
  } catch (error) {
    if (state.images.length === 0 && error instanceof CommandLineError) throw error;
    const what = command.noImageArguments === true ? "unable to parse arguments" : "error parsing app image arguments";
    throw new RktError("USAGE", what, { cause: error });
  }
  return {
    globals: flagValues(globalSpecs, state.globals),
    flags: flagValues(command.flags, state.flags),
    args: state.args,
    images: state.images.map(({ image, given, args }) => ({
      image,
      flags: flagValues(command.imageFlags ?? [], given),
      args: args ?? [],
    })),
    help,
    deprecations: state.deprecations,
  };
}

/** Commands without images; true when help was asked for. */
function parseArguments(state: Parse): boolean {
  for (;;) {
    const word = state.words[state.next++];
    if (word === undefined) return false;
    if (isFlag(word) && word !== "--") {
      if (parseFlag(state, word)) return true;
      continue;
    }
    if (word !== "--") state.args.push(word);
    if (word !== "--" && state.command.stopAtFirstWord !== true) continue;
    state.args.push(...state.words.slice(state.next));
    return false;
  }
}

/** `[flags] IMAGE [image flags] [-- ARGS] [--- IMAGE …]`; true when help was asked for. */
function parseImages(state: Parse): boolean {
  for (;;) {
    const word = state.words[state.next++];
    if (word === undefined) return false;
    if (word === "--") takeImageArguments(state);
    else if (word === "---" || word === "") continue;
    else if (isFlag(word)) {
      if (parseFlag(state, word)) return true;
    } else if (state.args.length < (state.command.wordsBeforeImages ?? 0)) state.args.push(word);
    else state.images.push({ image: word, given: new Map(), args: undefined });
  }
}

function takeImageArguments(state: Parse): void {
  const image = state.images.at(-1);
  if (state.command.noImageArguments === true) throw new RktError("USAGE", "app arguments unsupported");
  if (image === undefined) throw new RktError("USAGE", "an image is required before any app arguments");
  if (image.args !== undefined) throw new RktError("USAGE", "only one set of app arguments allowed per image");
  const end = state.words.indexOf("---", state.next);
  image.args = state.words.slice(state.next, end === -1 ? undefined : end);
  state.next = end === -1 ? state.words.length : end + 1;
}

/** Takes the flag `word` and, where it needs one, its value from the next word; true for help. */
function parseFlag(state: Parse, word: string): boolean {
  if (!word.startsWith("--")) {
    if (word === "-h") return true;
    const long = longForm(state, word);
    if (long !== undefined) return parseFlag(state, long);
    throw new CommandLineError(
      `unknown shorthand flag: ${quoted(word.charAt(1)).replaceAll('"', "'")} in ${quoted(word).slice(1, -1)}`,
    );
  }
  const equals = word.indexOf("=");
  const name = word.slice(2, equals === -1 ? undefined : equals);
  if (name === "" || name.startsWith("-")) throw new CommandLineError(`bad flag syntax: ${quoted(word).slice(1, -1)}`);
  const found = findFlag(state, name);
  const { spec, given } = found;
  if (spec === undefined) return name === "help" ? true : unknownFlag(state, name, word);
  const value = equals === -1 ? valueOfBareFlag(state, spec) : word.slice(equals + 1);
  refuseRepetition(found, spec, value);
  try {
    checkValue(spec, value);
  } catch (error) {
    throw invalidArgument(spec, value, error instanceof Error ? error.message : String(error));
  }
  const values = given.get(spec.name);
  if (values === undefined) given.set(spec.name, [value]);
  else values.push(value);
  const notice = `Flag --${spec.name} has been deprecated, ${spec.deprecated}`;
  if (spec.deprecated !== undefined && !state.deprecations.includes(notice)) state.deprecations.push(notice);
  return false;
}

/** Of the command's own flags only. */
function longForm(state: Parse, word: string): string | undefined {
  const spec = state.command.flags.find(({ short }) => short !== undefined && short === word.charAt(1));
  const rest = word.slice(2);
  if (spec === undefined || (rest !== "" && spec.kind === "bool")) return undefined;
  return rest === "" ? `--${spec.name}` : `--${spec.name}=${rest.replace(/^=/, "")}`;
}

/** A declaration together with the set it belongs to. */
interface FoundFlag {
  readonly spec: FlagSpec | undefined;
  readonly siblings: readonly FlagSpec[];
  readonly given: GivenFlags;
  readonly ofImage: boolean;
}

function findFlag(state: Parse, name: string): FoundFlag {
  const image = state.images.at(-1);
  const sets: Omit<FoundFlag, "spec">[] = [
    { siblings: state.command.flags, given: state.flags, ofImage: false },
    { siblings: state.globalSpecs, given: state.globals, ofImage: false },
  ];
  if (image !== undefined)
    sets.unshift({ siblings: state.command.imageFlags ?? [], given: image.given, ofImage: true });
  const set = sets.find(({ siblings }) => named(siblings, name) !== undefined) ?? NO_FLAGS;
  return { ...set, spec: named(set.siblings, name) };
}

const NO_FLAGS: Omit<FoundFlag, "spec"> = { siblings: [], given: new Map(), ofImage: false };

function named(specs: readonly FlagSpec[], name: string): FlagSpec | undefined {
  return specs.find((spec) => spec.name === name);
}

function unknownFlag(state: Parse, name: string, word: string): never {
  const spec = named(state.command.imageFlags ?? [], name);
  if (spec === undefined) throw new CommandLineError(`unknown flag: ${quoted(`--${name}`).slice(1, -1)}`);
  const value = word.includes("=") ? word.slice(word.indexOf("=") + 1) : (state.words[state.next] ?? "");
  throw invalidArgument(spec, value, `--${name} must follow an image`);
}

function valueOfBareFlag(state: Parse, spec: FlagSpec): string {
  if (spec.bare !== undefined) return spec.bare;
  if (spec.kind === "bool" && spec.needsValue !== true) return "true";
  const value = state.words[state.next++];
  if (value === undefined) throw new CommandLineError(`flag needs an argument: --${spec.name}`);
  return value;
}

function refuseRepetition({ siblings, given, ofImage }: FoundFlag, spec: FlagSpec, value: string): void {
  if (spec.once === true && given.has(spec.name)) {
    const where = ofImage ? "specified multiple times for the same image" : "already used";
    throw invalidArgument(spec, value, `--${spec.name} ${where}`);
  }
  const rival = siblings.find(
    ({ name, exclusiveGroup }) =>
      exclusiveGroup !== undefined && exclusiveGroup === spec.exclusiveGroup && name !== spec.name && given.has(name),
  );
  if (rival !== undefined)
    throw invalidArgument(spec, value, `flags --${spec.name} and --${rival.name} are mutually exclusive`);
}

function invalidArgument(spec: FlagSpec, value: string, why: string): CommandLineError {
  return new CommandLineError(`invalid argument ${quoted(value)} for "--${spec.name}" flag: ${why}`);
}

function isFlag(word: string): boolean {
  return word.length > 1 && word.startsWith("-");
}
