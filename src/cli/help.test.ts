/** Help pages, manual pages and completions are made from the declarations of the commands: what holds for all of them. */

import { describe, expect, test } from "bun:test";
import { ROOT } from "./cli.ts";
import { commandTree } from "./command-tree.ts";
import { askedPaths, completions } from "./completion/words.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { helpPage } from "./help.ts";
import { manPages } from "./man-page.ts";
import { wrapped } from "./wrap.ts";

const commands = await commandTree(ROOT);

/** As a terminal shows it. */
function width(line: string): number {
  let column = 0;
  for (const character of line) column = character === "\t" ? (Math.floor(column / 8) + 1) * 8 : column + 1;
  return column;
}

describe("help pages", () => {
  test.each(commands.map(({ path, command }) => [path, command] as const))("%s fits 80 columns", (path, command) => {
    const lines = helpPage(command, path, GLOBAL_FLAGS).split("\n");
    // What cannot be cut: one long word, a flag with its default.
    expect(lines.filter((line) => width(line) > 80 && line.trim().includes(" "))).toEqual([]);
  });

  test("a long text goes on in its column", () => {
    const command = {
      ...{ name: "x", summary: "Do x", usage: "" },
      flags: [{ name: "flag", kind: "bool", usage: `${"word ".repeat(20)}end` }] as const,
    };
    const [, first = "", second = ""] = /OPTIONS:\n(.*)\n(.*)\n/.exec(helpPage(command, "rkt x", [])) ?? [];
    expect(first).toStartWith("   --flag=false\t\t\tword word");
    expect(second).toStartWith("\t\t\t\tword");
  });

  test("words are never cut", () => {
    expect(wrapped("aaa bbbbbbbbbb c", 5)).toEqual(["aaa", "bbbbbbbbbb", "c"]);
    expect(wrapped("", 5)).toEqual([""]);
  });
});

test("every command has a manual page that names its flags and leads back to rkt(1)", () => {
  const pages = new Map(manPages(commands, GLOBAL_FLAGS).map(({ file, text }) => [file, text]));
  expect(pages.size).toBe(commands.length);
  expect(pages.get("rkt-run.1")).toContain("\\fB\\-\\-set\\-env\\fR");
  expect(pages.get("rkt-image-list.1")).toContain(".BR rkt\\-image (1)\n");
  for (const text of pages.values()) expect(text).toStartWith('.\\" ');
});

test("completions ask for the names of every command that takes an image or a pod, and of no other", async () => {
  const all = await completions(ROOT, GLOBAL_FLAGS);
  expect(askedPaths().filter((path) => !all.some((known) => known.path === path))).toEqual([]);
  const takes = commands.filter(({ command }) => /\b(UUID|IMAGE(_URL)?)\b/.test(command.usage)).map(({ path }) => path);
  expect(takes.toSorted()).toEqual([...askedPaths()].toSorted());
});
