/**
 * One command line from its words to its exit status: find the command, parse its words, make the engine, run it, report what went wrong. The only place that
 * turns errors into statuses.
 */

import { exitStatusOf, FAILURE_STATUS, RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { ROOT } from "./cli.ts";
import type { Command } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";
import { dialogOn } from "./dialog.ts";
import { type ParsedWords, parseWords } from "./flags.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { locate } from "./locate.ts";
import { createReport, type ProgressStyle, type Report } from "./report.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/** Runs `rkt` with `words` (without the program's name). Never throws. */
export async function runCommandLine(
  words: readonly string[],
  terminal: Terminal = processTerminal(),
): Promise<number> {
  let found: LocatedCommand = { command: ROOT, path: "rkt", rest: words };
  let report = createReport({ command: "rkt", debug: false, quiet: false, terminal });
  try {
    found = await locateCommand(words);
    const { command, rest } = found;
    report = createReport({ command: command.name, debug: false, quiet: false, terminal });
    const parsed = parseWords(command, GLOBAL_FLAGS, rest);
    report = createReport({
      command: command.name,
      debug: parsed.globals.bool("debug"),
      quiet: command.flags.some(({ name }) => name === "quiet") && parsed.flags.bool("quiet"),
      progress: readProgress(command, parsed),
      terminal,
    });
    for (const notice of parsed.deprecations) terminal.stderr(`${notice}\n`);
    if (parsed.help || (command.run === undefined && command.runAlone === undefined)) {
      report.output.stdout(await pageOf(found));
      return 0;
    }
    return await runCommand(command, parsed, report);
  } catch (error) {
    return await failed(error, report, terminal, found);
  }
}

function readProgress(command: Command, { flags }: ParsedWords): ProgressStyle {
  if (!command.flags.some(({ name }) => name === "progress")) return "auto";
  const style = flags.string("progress");
  if (style === "auto" || style === "tty" || style === "plain" || style === "json") return style;
  throw new CommandLineError(
    `invalid argument ${quoted(style)} for "--progress" flag: expected auto, tty, plain or json`,
  );
}

export interface LocatedCommand {
  readonly command: Command;
  /** Full name: "rkt", "rkt image list". */
  readonly path: string;
  /** The words without those of the name. */
  readonly rest: readonly string[];
}

/** Finds and loads the command that `words` name; `rkt` itself when they name none. Throws CommandLineError for an unknown one. */
export async function locateCommand(words: readonly string[]): Promise<LocatedCommand> {
  let found: LocatedCommand = { command: ROOT, path: "rkt", rest: words };
  while (found.command.subcommands !== undefined) {
    const { entry, rest } = locate(found.command.subcommands, GLOBAL_FLAGS, found.rest, found.path);
    if (entry === undefined) break;
    found = { command: await entry.load(), path: `${found.path} ${entry.name}`, rest };
  }
  return found;
}

async function runCommand(command: Command, parsed: ParsedWords, report: Report): Promise<number> {
  // The value of a global flag is checked whatever the command.
  const engine =
    command.runAlone === undefined || GLOBAL_FLAGS.some(({ name }) => parsed.globals.given(name))
      ? (await import("./create-engine.ts")).createEngine(parsed.globals, report.emit, dialogOn(report.output))
      : undefined;
  if (command.requiresRoot === true && process.geteuid?.() !== 0)
    throw new RktError("PERMISSION", "cannot run as unprivileged user");
  command.runAlone?.(report.output);
  if (engine === undefined) return 0;
  if (command.readsImages === true) await (await import("../stage0/open-data-dir.ts")).takeOverIfDue(engine);
  const { flags, args, images } = parsed;
  return (await command.run?.({ engine, flags, args, images, output: report.output })) ?? 0;
}

async function failed(error: unknown, report: Report, terminal: Terminal, found: LocatedCommand): Promise<number> {
  try {
    if (error instanceof CommandLineError) {
      const help = error.advice === undefined ? await pageOf(found) : `${error.advice}\n`;
      terminal.stderr(`Error: ${error.message}\n${help}`);
    } else {
      report.failure(error);
      if (error instanceof RktError && error.code === "MISSING_COMMAND") terminal.stderr(await pageOf(found));
    }
    return exitStatusOf(error);
  } catch {
    return FAILURE_STATUS;
  }
}

/** Help is loaded when it is asked for. */
async function pageOf({ command, path }: LocatedCommand): Promise<string> {
  const { helpPage } = await import("./help.ts");
  return helpPage(command, path, GLOBAL_FLAGS);
}
