import { describe, expect, test } from "bun:test";
import { COMMANDS } from "./cli.ts";
import { CommandLineError } from "./command-line-error.ts";
import { command as image } from "./commands/image/image.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { locate } from "./locate.ts";

const at = (line: string) => {
  const { entry, rest } = locate(COMMANDS, GLOBAL_FLAGS, line.split(" ").filter(Boolean), "rkt");
  return [entry?.name, rest.join(" ")];
};

describe("locate", () => {
  test.each([
    ["run a", "run", "a"],
    ["--debug run a", "run", "--debug a"],
    ["--debug=false run a", "run", "--debug=false a"],
    ["--dir /d run a", "run", "--dir /d a"],
    ["--insecure-options=image run a", "run", "--insecure-options=image a"],
    ["--net=host run a", "run", "--net=host a"],
    ["--net host run a", "run", "--net host a"],
    ["--pull-policy=new fetch X", "fetch", "--pull-policy=new X"],
    ["--trust-keys-from-https fetch X", "fetch", "--trust-keys-from-https X"],
    ["--pretty-print=false config", "config", "--pretty-print=false"],
    ["--help run", "run", "--help"],
    ["-h run", "run", "-h"],
    ["fet X", "fetch", "X"],
    ["run-p u", "run-prepared", "u"],
    ["li --run", "list", "--run"],
    // Beginnings that were clear to rkt 1.x, which had fewer commands.
    ["l", "list", ""],
    ["f X", "fetch", "X"],
    ["t", "trust", ""],
    ["exp u f", "export", "u f"],
    ["comp bash", "completion", "bash"],
    ["lo u", "logs", "u"],
  ])("%s", (line, name, rest) => {
    expect(at(line)).toEqual([name, rest]);
  });

  test.each(["", "--debug", "--help", "--dir /d", "-- run"])("no command in %p", (line) => {
    expect(at(line)).toEqual([undefined, line]);
  });

  test("a command's own flag before its name swallows the next word unless it has =", () => {
    expect(() => at("--no-overlay run example.com")).toThrow('unknown command "example.com" for "rkt"');
  });

  test("an ambiguous prefix is no command; what it may mean is told", () => {
    expect(() => at("c")).toThrow(
      'unknown command "c" for "rkt"\n\nDid you mean this?\n\tcat-manifest\n\tcompletion\n\tconfig\n',
    );
  });

  test("a hidden command has its beginnings, too", () => {
    const { entry } = locate(image.subcommands ?? [], GLOBAL_FLAGS, ["fe", "X"], "rkt image");
    expect(entry?.name).toBe("fetch");
  });

  test("misspelt", () => {
    let error: unknown;
    try {
      at("fecth");
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(CommandLineError);
    expect(error).toMatchObject({
      code: "USAGE",
      message: 'unknown command "fecth" for "rkt"\n\nDid you mean this?\n\tfetch\n',
      advice: "Run 'rkt --help' for usage.",
    });
    expect(() => at("nothing-like-it")).toThrow(/^unknown command "nothing-like-it" for "rkt"$/);
  });
});
