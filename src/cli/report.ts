/**
 * What a command's run tells its user: data on stdout, everything else on stderr with the command's name in front. The only writer to the terminal; library code
 * emits RktEvents and knows nothing of it.
 */

import { ExitStatus, errorChain, errorLine, RktError } from "../core/errors.ts";
import type { Emit, RktEvent } from "../core/events.ts";
import { printable } from "../core/text.ts";
import type { Output } from "./command.ts";
import { jsonProgress, liveProgress, type Progress, plainProgress } from "./progress.ts";
import { remedyOf } from "./remedy.ts";
import type { Terminal } from "./terminal.ts";

export type ProgressStyle = "auto" | "tty" | "plain" | "json";

export interface ReportOptions {
  /** The last word of the command ("list" for `rkt image list`): the prefix of its lines. */
  readonly command: string;
  readonly debug: boolean;
  /** No notices and no progress. */
  readonly quiet: boolean;
  readonly terminal: Terminal;
  /** Default: "auto", live lines on a terminal and plain ones elsewhere. */
  readonly progress?: ProgressStyle;
  /** Whether stderr is a terminal; asked when the first progress arrives. */
  readonly live?: () => boolean;
}

export interface Report {
  readonly output: Output;
  readonly emit: Emit;
  /** Prints an error as rkt does, and its hint. An ExitStatus without a reason prints nothing. */
  failure(error: unknown): void;
}

export function createReport(options: ReportOptions): Report {
  const { terminal, command } = options;
  let progress: Progress | undefined;
  const startProgress = (): Progress => {
    if (options.progress === "json") return jsonProgress(terminal.stderr);
    if (options.progress === "plain") return plainProgress(terminal.stderr);
    if (options.progress === "tty") return liveProgress(terminal.stderr);
    // Loading node:tty takes 8 ms, so only a download pays for it.
    const live = options.live ?? (() => process.getBuiltinModule("node:tty").isatty(2));
    return live() ? liveProgress(terminal.stderr) : plainProgress(terminal.stderr);
  };
  const line = (text: string): void => {
    const print = (): void => terminal.stderr(`${harmless(text)}\n`);
    if (progress === undefined) print();
    else progress.aside(print);
  };
  return {
    output: {
      stdout(text) {
        if (progress === undefined) terminal.stdout(text);
        else progress.aside(() => terminal.stdout(text));
      },
      error: (text) => line(`${command}: ${text}`),
    },
    emit(event) {
      if (event.kind === "progress") {
        if (options.quiet) return;
        progress ??= startProgress();
        progress.update(event.label, event.done, event.total, event.upload);
        return;
      }
      const text = eventText(event, options);
      if (text !== undefined) line(text);
    },
    failure(error) {
      if (error instanceof ExitStatus && error.cause === undefined) return;
      const told = error instanceof ExitStatus ? error.cause : error;
      line(`${command}: ${errorText(told, options.debug)}`);
      const hint = hintOf(told);
      if (hint !== undefined) line(`hint: ${hint}`);
    },
  };
}

function eventText(event: Exclude<RktEvent, { kind: "progress" }>, options: ReportOptions): string | undefined {
  switch (event.kind) {
    case "warning":
      return `${options.command}: warning: ${event.text}`;
    case "notice":
      return options.quiet ? undefined : `${event.source}: ${event.text}`;
    case "debug":
      return options.debug ? `${event.source}: ${event.text}` : undefined;
  }
}

/** One line: the outermost message and the innermost. With --debug: the whole chain as a tree. */
function errorText(error: unknown, debug: boolean): string {
  const origin = isBug(error) ? "internal error: " : "";
  if (!debug) return origin + errorLine(error);
  const [first = "", ...causes] = errorChain(error);
  const tree = causes.map((message, depth) => `\n${"  ".repeat(depth + 1)}└─${message}`).join("");
  const stack = isBug(error) && error instanceof Error ? `\n${error.stack ?? ""}` : "";
  return `${origin}${first}${tree}${stack}`;
}

/** TypeError and its like are never meant for the user; errors of the system (they have a code) and ours are. */
function isBug(error: unknown): boolean {
  return !(error instanceof RktError) && !(error instanceof Error && "code" in error);
}

function hintOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause)
    if (current instanceof RktError && current.hint !== undefined) return current.hint;
  return remedyOf(error);
}

/** Lines of ours may have several lines and tabs; no other control character is ours, and one that a server or an image chose could rewrite the screen. */
function harmless(text: string): string {
  return text.replace(/[^\n\t]+/g, (part) => printable(part, Number.POSITIVE_INFINITY));
}
