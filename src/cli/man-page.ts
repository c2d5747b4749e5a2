/** Manual pages in man(7)'s macros, made from the commands' own declarations. Pure; written by tools/build-man.ts. */

import { RKT_VERSION } from "../core/version.ts";
import type { Command, FlagSpec } from "./command.ts";
import { type DeclaredCommand, shownFlags } from "./command-tree.ts";
import { defaultText } from "./help.ts";

export interface ManPage {
  /** "rkt-image-list.1": what `man rkt image list` opens. */
  readonly file: string;
  readonly text: string;
}

/** One page a command. `commands` as commandTree gives them, `rkt` first. */
export function manPages(commands: readonly DeclaredCommand[], globals: readonly FlagSpec[]): ManPage[] {
  return commands.map(({ path, command }) => {
    const name = manName(path);
    const isRoot = path === "rkt";
    const parent = isRoot ? undefined : path.slice(0, path.lastIndexOf(" "));
    const below = commands.filter((other) => other.path.slice(0, other.path.lastIndexOf(" ")) === path);
    const text = [
      `.\\" Made from the command's own declaration.\n.TH ${name.toUpperCase()} 1 "" "rkt ${RKT_VERSION}" "rkt manual"\n.ad l\n`,
      section("NAME", `${roff(name)} \\- ${roff(command.summary)}\n`),
      section("SYNOPSIS", synopsis(path, command)),
      section("DESCRIPTION", paragraphs(command.description ?? `${command.summary}.`)),
      section("COMMANDS", below.map((entry) => commandItem(entry)).join("")),
      section("OPTIONS", flagItems(isRoot ? globals : command.flags)),
      section("OPTIONS AFTER AN IMAGE", flagItems(command.imageFlags ?? [])),
      section("GLOBAL OPTIONS", isRoot ? "" : flagItems(globals)),
      section("EXIT STATUS", paragraphs(isRoot || parent === "rkt app" ? ROOT_STATUS : STATUS)),
      isRoot ? section("FILES", files()) : "",
      section("SEE ALSO", seeAlso(parent, below)),
    ];
    return { file: `${name}.1`, text: text.join("") };
  });
}

const STATUS = "0 when all went well, 254 when rkt failed. See rkt(1).";
const ROOT_STATUS =
  "0 when all went well, 254 when rkt itself failed, 2 without a command. The commands that run or enter a pod end as the app did, with 128+N for a death by signal N.";

const FILES: readonly (readonly [path: string, what: string])[] = [
  ["/var/lib/rkt", "images and pods"],
  ["/etc/rkt", "configuration of this host: credentials, networks, registries, trusted keys"],
  ["/usr/lib/rkt", "configuration of the distribution, the stage1 images"],
];

function manName(path: string): string {
  return path.replaceAll(" ", "-");
}

function section(title: string, body: string): string {
  return body === "" ? "" : `.SH ${title.includes(" ") ? `"${title}"` : title}\n${body}`;
}

function synopsis(path: string, { usage }: Command): string {
  return `.B ${roff(path)}\n${usage === "" ? "" : `${roff(usage)}\n`}`;
}

/** Empty lines part paragraphs; lines that begin with a tab are examples. */
function paragraphs(text: string): string {
  return text
    .trim()
    .split(/\n\n+/)
    .map((paragraph, index) => {
      const lines = paragraph.split("\n");
      const start = index === 0 ? "" : ".PP\n";
      if (lines.every((line) => line.startsWith("\t")))
        return `${start}.RS 4\n.nf\n${lines.map((line) => roff(line.slice(1))).join("\n")}\n.fi\n.RE\n`;
      return `${start}${lines.map((line) => roff(line.trim())).join("\n")}\n`;
    })
    .join("");
}

function commandItem({ path, command }: DeclaredCommand): string {
  return `.TP\n.BR ${roff(manName(path))} (1)\n${roff(command.summary)}\n`;
}

function flagItems(flags: readonly FlagSpec[]): string {
  return shownFlags(flags)
    .map((flag) => {
      const short = flag.short === undefined ? "" : `${roff(`-${flag.short}`)}, `;
      return `.TP\n\\fB${short}${roff(`--${flag.name}`)}\\fR${roff(defaultText(flag))}\n${roff(flag.usage)}\n`;
    })
    .join("");
}

function files(): string {
  return FILES.map(([path, what]) => `.TP\n.I ${roff(path)}\n${roff(what)}\n`).join("");
}

function seeAlso(parent: string | undefined, below: readonly DeclaredCommand[]): string {
  const names = [...new Set(["rkt", ...(parent === undefined ? [] : [manName(parent)])])];
  const all = parent === undefined ? below.map(({ path }) => manName(path)) : names;
  return all.map((name, index) => `.BR ${roff(name)} (1)${index < all.length - 1 ? "," : ""}\n`).join("");
}

/** man(7), groff_char(7): a hyphen is \-, and a line must not begin with a control character. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("…", "...")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll("`", "\\(ga")
    .replace(/^([.'])/gm, "\\&$1");
}
