/** What a command declares and what it gets. One file a command in `commands/`, listed in cli.ts and loaded lazily. */

import type { Engine } from "../core/engine.ts";

export interface FlagSpec {
  readonly name: string;
  readonly kind: "bool" | "string" | "list" | "duration";
  /** One line of help. */
  readonly usage: string;
  /** As written on a command line; "" (string, list) and "false" (bool) when absent. */
  readonly default?: string;
  /** The value of a bare `--name` (shown as `--name[=…]`); for `--net`, `--wait`. Bare bool flags are "true" by themselves. */
  readonly bare?: string;
  /** May be given several times, each adding (`--volume`). `list` also splits at commas. */
  readonly repeatable?: boolean;
  /** A second one (for the same image) is an error. */
  readonly once?: boolean;
  /** At most one flag of a group may be given: `flags --a and --b are mutually exclusive`. */
  readonly exclusiveGroup?: string;
  /** A bool that has no bare form: `--readonly-rootfs=true` or `--readonly-rootfs true`. */
  readonly needsValue?: boolean;
  readonly hidden?: boolean;
  /** One letter: `-f` for `--follow`, `-n 5` or `-n5` for `--tail=5`. */
  readonly short?: string;
  /** Printed as `Flag --x has been deprecated, …` when used; hidden from help. */
  readonly deprecated?: string;
}

/** Values of the flags of one command, or of one image, by name. Asking for a flag that was not declared is an internal error. */
export interface FlagValues {
  bool(name: string): boolean;
  string(name: string): string;
  /** Every value in order; `list` flags split at commas. */
  list(name: string): readonly string[];
  /** Milliseconds. Go's duration syntax ("30m0s", "1h", plain "0"). */
  duration(name: string): number;
  /** True when the user gave it. */
  given(name: string): boolean;
}

/** One image of `run`, `prepare`, `fetch`, `app add`: its name, its flags, the arguments after `--`. */
export interface ImageArgument {
  readonly image: string;
  readonly flags: FlagValues;
  readonly args: readonly string[];
}

export type { Engine };

/** The only way to the terminal (report.ts): synchronous, quiet on EPIPE, OUTPUT error on a full disk. */
export interface Output {
  /** Data, on stdout; no newline is added. */
  stdout(text: string): void;
  /** A line on stderr with the command's prefix. */
  error(text: string): void;
}

export interface CommandInput {
  readonly engine: Engine;
  readonly flags: FlagValues;
  /** Words that are neither flags nor images. */
  readonly args: readonly string[];
  /** Empty unless the command declares imageFlags. */
  readonly images: readonly ImageArgument[];
  readonly output: Output;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows `rkt NAME` in USAGE, e.g. "[--force] UUID ...". */
  readonly usage: string;
  /** DESCRIPTION of the help page; may be several paragraphs. */
  readonly description?: string;
  readonly flags: readonly FlagSpec[];
  /** Declares the image grammar `IMAGE [image flags] [-- ARGS] [--- IMAGE …]`; the flags allowed after an image. */
  readonly imageFlags?: readonly FlagSpec[];
  /** With imageFlags: `--` is refused with `app arguments unsupported` (fetch). */
  readonly noImageArguments?: boolean;
  /** With imageFlags: how many words come before the first image and land in `args` (`app add UUID IMAGE`: 1). */
  readonly wordsBeforeImages?: number;
  /** Everything from the first word on is `args`, flags included (`enter UUID ls -l`). */
  readonly stopAtFirstWord?: boolean;
  readonly hidden?: boolean;
  /** Refused with `cannot run as unprivileged user` for others. */
  readonly requiresRoot?: boolean;
  /** Looks at the images of the store: those of rkt 1.x are taken over before, where there are some. */
  readonly readsImages?: boolean;
  /** `rkt image list`, `rkt app add`. */
  readonly subcommands?: readonly CommandEntry[];
  /** Runs the command; a number is the exit status (default 0). Failures are thrown. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most commands end without a value.
  run?(input: CommandInput): Promise<number | void> | number | void;
  /** Instead of `run`, for what reads neither words nor configuration nor files: such a command starts in a fraction of the time. */
  runAlone?(output: Output): void;
}

/** An entry of the command list: enough for help and prefix matching without loading the command. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly hidden?: boolean;
  /** Unknown to rkt 1.x: where a beginning fits this command and one of rkt 1.x's, the latter is meant. */
  readonly added?: boolean;
  load(): Promise<Command>;
}
