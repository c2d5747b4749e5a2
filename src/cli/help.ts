/**
 * Help pages, in rkt's sections: NAME, USAGE, VERSION, COMMANDS, DESCRIPTION, OPTIONS, GLOBAL OPTIONS. A page fits a terminal of 80 columns: long texts go on in the
 * next line, in their column. Pure.
 */

import { RKT_VERSION } from "../core/version.ts";
import type { Command, CommandEntry, FlagSpec } from "./command.ts";
import { shownFlags } from "./command-tree.ts";
import { formatTable } from "./table.ts";
import { wrapped } from "./wrap.ts";

const COLUMNS = 80;
const TAB = 8;
/** Where the texts of flags begin, and how long a flag may be to stand in the line of its text. */
const FLAG_COLUMN = 4 * TAB;

/** The page of one command; `path` is its full name ("rkt", "rkt image list"). The global flags are the root's own options. */
export function helpPage(command: Command, path: string, globals: readonly FlagSpec[]): string {
  const isRoot = path === "rkt";
  const name = isRoot ? path : path.slice("rkt ".length);
  const own = isRoot ? globals : [...command.flags, ...(command.imageFlags ?? [])];
  return page([
    ["NAME", continued(`${name} - ${command.summary}`)],
    ["USAGE", continued(`${path} ${command.usage}`.trim())],
    ["VERSION", isRoot ? `\t${RKT_VERSION}\n` : ""],
    ["COMMANDS", commandTable(command.subcommands ?? [])],
    ["DESCRIPTION", command.description === undefined ? "" : indented(command.description)],
    ["OPTIONS", flagTable(own)],
    ["GLOBAL OPTIONS", isRoot ? "" : flagTable(globals)],
  ]);
}

function page(sections: readonly (readonly [title: string, body: string])[]): string {
  return sections
    .filter(([, body]) => body !== "")
    .map(([title, body]) => `${title}:\n${body}`)
    .join("\n");
}

function commandTable(entries: readonly CommandEntry[]): string {
  const visible = entries.filter(({ hidden }) => hidden !== true);
  const longest = Math.max(...visible.map(({ name }) => name.length));
  const column = TAB + Math.ceil((longest + 1) / TAB) * TAB;
  return formatTable(
    visible.flatMap(({ name, summary }) =>
      wrapped(summary, COLUMNS - column).map((line, index) => ["", index === 0 ? name : "", line]),
    ),
  );
}

function flagTable(flags: readonly FlagSpec[]): string {
  return shownFlags(flags)
    .map((flag) => {
      const name = `   ${flag.short === undefined ? "" : `-${flag.short}, `}--${flag.name}${defaultText(flag)}`;
      const text = wrapped(flag.usage, COLUMNS - FLAG_COLUMN);
      const isLong = name.length >= FLAG_COLUMN;
      const rows = text.map((line, index) => {
        const first = index === 0 && !isLong ? name : "";
        return `${first}${"\t".repeat(Math.ceil((FLAG_COLUMN - first.length) / TAB))}${line}\n`;
      });
      return `${isLong ? `${name}\n` : ""}${rows.join("")}`;
    })
    .join("");
}

/** `=default`; strings in quotes, and `[=default]` where the flag may stand alone with another meaning. */
export function defaultText(flag: FlagSpec): string {
  if (flag.kind === "bool") return `=${flag.default ?? "false"}`;
  if (flag.kind === "duration") return `=${flag.default ?? "0s"}`;
  const value = flag.kind === "string" ? JSON.stringify(flag.default ?? "") : (flag.default ?? "");
  return flag.bare === undefined ? `=${value}` : `[=${flag.bare}]`;
}

/** A line that goes on in the next, further in. */
function continued(text: string): string {
  return wrapped(text, COLUMNS - 2 * TAB)
    .map((line, index) => `${index === 0 ? "\t" : "\t\t"}${line}\n`)
    .join("");
}

/** Paragraphs, wrapped; lines that begin with a tab are examples and stay as they are. */
function indented(text: string): string {
  return text
    .trim()
    .split("\n")
    .flatMap((line) => (line.startsWith("\t") ? [line] : wrapped(line, COLUMNS - TAB)))
    .map((line) => (line === "" ? "\n" : `\t${line}\n`))
    .join("");
}
