/**
 * One command line from its words to its exit status: find the command, parse its words, make the engine, run it, report what went wrong. The only place that
 * turns errors into statuses.
 */

import { exitStatusOf, FAILURE_STATUS, RktError } from "../core/errors.ts";
import { ROOT } from "./cli.ts";
import type { Command } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";
import { type ParsedWords, parseWords } from "./flags.ts";
import { createEngine, GLOBAL_FLAGS } from "./globals.ts";
import { locate } from "./locate.ts";
import { createReport, type Report } from "./report.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/** Runs `rkt` with `words` (without the program's name). Never throws. */
export async function runCommandLine(
  words: readonly string[],
  terminal: Terminal = processTerminal(),
): Promise<number> {
  let command = ROOT;
  let path = "rkt";
  let report = createReport({ command: "rkt", debug: false, quiet: false, terminal });
  try {
    let rest = words;
    while (command.subcommands !== undefined) {
      const located = locate(command.subcommands, GLOBAL_FLAGS, rest, path);
      if (located.entry === undefined) break;
      command = await located.entry.load();
      path = `${path} ${located.entry.name}`;
      rest = located.rest;
    }
    const parsed = parseWords(command, GLOBAL_FLAGS, rest);
    report = createReport({
      command: command.name,
      debug: parsed.globals.bool("debug"),
      quiet: command.flags.some(({ name }) => name === "quiet") && parsed.flags.bool("quiet"),
      terminal,
    });
    for (const notice of parsed.deprecations) terminal.stderr(`${notice}\n`);
    if (parsed.help || command.run === undefined) {
      report.output.stdout(await pageOf(command, path));
      return 0;
    }
    return await runCommand(command, parsed, report);
  } catch (error) {
    return await failed(error, report, terminal, () => pageOf(command, path));
  }
}

async function runCommand(command: Command, parsed: ParsedWords, report: Report): Promise<number> {
  const engine = createEngine(parsed.globals, report.emit);
  if (command.requiresRoot === true && process.geteuid?.() !== 0)
    throw new RktError("PERMISSION", "cannot run as unprivileged user");
  const { flags, args, images } = parsed;
  return (await command.run?.({ engine, flags, args, images, output: report.output })) ?? 0;
}

async function failed(
  error: unknown,
  report: Report,
  terminal: Terminal,
  page: () => Promise<string>,
): Promise<number> {
  try {
    if (error instanceof CommandLineError) {
      terminal.stderr(`Error: ${error.message}\n${error.advice === undefined ? await page() : `${error.advice}\n`}`);
    } else {
      report.failure(error);
      if (error instanceof RktError && error.code === "MISSING_COMMAND") terminal.stderr(await page());
    }
    return exitStatusOf(error);
  } catch {
    return FAILURE_STATUS;
  }
}

/** Help is loaded when it is asked for. */
async function pageOf(command: Command, path: string): Promise<string> {
  const { helpPage } = await import("./help.ts");
  return helpPage(command, path, GLOBAL_FLAGS);
}
