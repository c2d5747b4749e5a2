/** Help pages, in rkt's sections: NAME, USAGE, VERSION, COMMANDS, DESCRIPTION, OPTIONS, GLOBAL OPTIONS. Pure. */

import { RKT_VERSION } from "../core/version.ts";
import type { Command, CommandEntry, FlagSpec } from "./command.ts";
import { formatTable } from "./table.ts";

/** The page of one command; `path` is its full name ("rkt", "rkt image list"). The global flags are the root's own options. */
export function helpPage(command: Command, path: string, globals: readonly FlagSpec[]): string {
  const isRoot = path === "rkt";
  const name = isRoot ? path : path.slice("rkt ".length);
  const own = isRoot ? globals : distinct([...command.flags, ...(command.imageFlags ?? [])]);
  return page([
    ["NAME", `\t${name} - ${command.summary}\n`],
    ["USAGE", `\t${`${path} ${command.usage}`.trim()}\n`],
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
  return formatTable(visible.map(({ name, summary }) => ["", name, summary]));
}

function flagTable(flags: readonly FlagSpec[]): string {
  const visible = flags.filter(({ hidden, deprecated }) => hidden !== true && deprecated === undefined);
  const sorted = visible.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return formatTable(sorted.map((flag) => [`   --${flag.name}${defaultText(flag)}`, flag.usage]));
}

/** `=default`; strings in quotes, and `[=default]` where the flag may stand alone with another meaning. */
function defaultText(flag: FlagSpec): string {
  if (flag.kind === "bool") return `=${flag.default ?? "false"}`;
  if (flag.kind === "duration") return `=${flag.default ?? "0s"}`;
  const value = flag.kind === "string" ? JSON.stringify(flag.default ?? "") : (flag.default ?? "");
  return flag.bare === undefined ? `=${value}` : `[=${flag.bare}]`;
}

/** A flag that is both the pod's and an image's (`--mount`) is shown once. */
function distinct(flags: readonly FlagSpec[]): FlagSpec[] {
  return flags.filter((flag, i) => flags.findIndex(({ name }) => name === flag.name) === i);
}

function indented(text: string): string {
  return text
    .trim()
    .split("\n")
    .map((line) => (line === "" ? "\n" : `\t${line}\n`))
    .join("");
}
