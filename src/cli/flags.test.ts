import { describe, expect, test } from "bun:test";
import { errorLine } from "../core/errors.ts";
import type { Command, FlagSpec } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";
import { parseWords } from "./flags.ts";
import { GLOBAL_FLAGS } from "./globals.ts";

const run: Command = {
  name: "run",
  summary: "",
  usage: "",
  flags: [
    { name: "volume", kind: "string", repeatable: true, usage: "" },
    { name: "mount", kind: "string", repeatable: true, usage: "" },
    { name: "port", kind: "string", repeatable: true, usage: "" },
    { name: "set-env", kind: "string", repeatable: true, usage: "" },
    { name: "net", kind: "list", repeatable: true, default: "default", bare: "default", usage: "" },
    { name: "dns", kind: "list", repeatable: true, usage: "" },
    { name: "no-overlay", kind: "bool", usage: "" },
    { name: "pull-policy", kind: "string", default: "new", usage: "" },
    { name: "store-only", kind: "bool", usage: "", deprecated: "use --pull-policy=never" },
    { name: "stage1-path", kind: "string", once: true, exclusiveGroup: "stage1", usage: "" },
    { name: "stage1-name", kind: "string", once: true, exclusiveGroup: "stage1", usage: "" },
  ],
  imageFlags: [
    { name: "exec", kind: "string", once: true, usage: "" },
    { name: "mount", kind: "string", repeatable: true, usage: "" },
    { name: "user", kind: "string", usage: "" },
    { name: "readonly-rootfs", kind: "bool", needsValue: true, usage: "" },
    { name: "supplementary-gids", kind: "list", repeatable: true, usage: "" },
  ],
};

const plain = (flags: readonly FlagSpec[], more: Partial<Command> = {}): Command => ({
  name: "plain",
  summary: "",
  usage: "",
  flags,
  ...more,
});

const parse = (command: Command, line: string) => parseWords(command, GLOBAL_FLAGS, line.split(" ").filter(Boolean));
const parseRun = (line: string) => parse(run, line);
const images = (line: string) => parseRun(line).images.map(({ image, args }) => [image, ...args]);

function failure(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return errorLine(error);
  }
  throw new Error("no failure");
}

describe("images and their arguments", () => {
  test.each([
    ["a", [["a"]]],
    ["a b", [["a"], ["b"]]],
    ["a -- x y", [["a", "x", "y"]]],
    ["a -- x --- b", [["a", "x"], ["b"]]],
    [
      "a -- x -- y --- b -- z",
      [
        ["a", "x", "--", "y"],
        ["b", "z"],
      ],
    ],
    ["a -- --exec=x --volume y", [["a", "--exec=x", "--volume", "y"]]],
    ["a --", [["a"]]],
    ["a -- ---", [["a"]]],
    ["--- a --- b ---", [["a"], ["b"]]],
    ["-", [["-"]]],
  ])("%s", (line, expected) => {
    expect(images(line)).toEqual(expected);
  });

  test("empty words are no images, but are arguments", () => {
    const parsed = parseWords(run, GLOBAL_FLAGS, ["", "a", "", "--", "", "x"]);
    expect(parsed.images.map(({ image, args }) => [image, ...args])).toEqual([["a", "", "x"]]);
  });

  test.each([
    ["-- x", "error parsing app image arguments: an image is required before any app arguments"],
    ["a -- x --- -- y", "error parsing app image arguments: only one set of app arguments allowed per image"],
    ["a --exec x --exec y", /--exec specified multiple times for the same image$/],
    ["--exec x a", /--exec must follow an image$/],
    ["--exec=x a", 'invalid argument "x" for "--exec" flag: --exec must follow an image'],
    ["a --nonsense", "error parsing app image arguments: unknown flag: --nonsense"],
    ["--stage1-path=x --stage1-path=y a", /--stage1-path already used$/],
    ["--stage1-path=x --stage1-name=y a", /flags --stage1-name and --stage1-path are mutually exclusive$/],
    ["a --readonly-rootfs=maybe", /strconv.ParseBool: parsing "maybe": invalid syntax$/],
  ])("refuses %s", (line, message) => {
    expect(failure(() => parseRun(line))).toMatch(message);
  });

  test("the same flag of two images is not a repetition", () => {
    const parsed = parseRun("a --exec x b --exec y");
    expect(parsed.images.map(({ flags }) => flags.string("exec"))).toEqual(["x", "y"]);
  });

  test("--mount before the first image is the pod's, after it the image's", () => {
    const parsed = parseRun("--mount volume=v,target=/1 a --mount volume=w,target=/2 --mount=volume=x,target=/3 b");
    expect(parsed.flags.list("mount")).toEqual(["volume=v,target=/1"]);
    expect(parsed.images[0]?.flags.list("mount")).toEqual(["volume=w,target=/2", "volume=x,target=/3"]);
    expect(parsed.images[1]?.flags.given("mount")).toBe(false);
  });

  test("flags of the pod and global ones may follow an image", () => {
    const parsed = parseRun("a --dir=/d --port=http:80 --net=host --user 7 -- --dir=/other --- --no-overlay --debug");
    expect(parsed.globals.string("dir")).toBe("/d");
    expect(parsed.globals.bool("debug")).toBe(true);
    expect(parsed.flags.list("port")).toEqual(["http:80"]);
    expect(parsed.flags.list("net")).toEqual(["host"]);
    expect(parsed.flags.bool("no-overlay")).toBe(true);
    expect(parsed.images[0]?.flags.string("user")).toBe("7");
    expect(parsed.images[0]?.args).toEqual(["--dir=/other"]);
  });

  test("a flag that needs a value takes the next word whatever it is", () => {
    expect(parseRun("a --readonly-rootfs false b").images.map(({ image }) => image)).toEqual(["a", "b"]);
    expect(parseRun("--set-env --x a").flags.list("set-env")).toEqual(["--x"]);
  });

  test("a flag with a bare form never takes the next word", () => {
    const parsed = parseRun("--net host a");
    expect(parsed.flags.list("net")).toEqual(["default"]);
    expect(parsed.images.map(({ image }) => image)).toEqual(["host", "a"]);
  });

  test("a command may refuse arguments, or have words before its images", () => {
    const fetch = { ...run, noImageArguments: true };
    expect(failure(() => parse(fetch, "a --"))).toEndWith("app arguments unsupported");
    const add = parse({ ...run, wordsBeforeImages: 1 }, "--debug uuid image --exec x -- y ---");
    expect(add.args).toEqual(["uuid"]);
    expect(add.images.map(({ image, args }) => [image, ...args])).toEqual([["image", "y"]]);
  });
});

describe("values", () => {
  test("defaults", () => {
    const { flags, globals } = parseRun("a");
    expect(flags.string("pull-policy")).toBe("new");
    expect(flags.list("net")).toEqual(["default"]);
    expect(flags.list("dns")).toEqual([]);
    expect(flags.bool("no-overlay")).toBe(false);
    expect(flags.given("net")).toBe(false);
    expect(globals.string("dir")).toBe("/var/lib/rkt");
    expect(globals.list("insecure-options")).toEqual(["none"]);
  });

  test("lists split at commas and add up; strings that may be repeated do not split", () => {
    expect(parseRun("--dns=1,2 --dns 3 a").flags.list("dns")).toEqual(["1", "2", "3"]);
    expect(parseRun("--volume a,kind=host --volume=b,kind=empty i").flags.list("volume")).toEqual([
      "a,kind=host",
      "b,kind=empty",
    ]);
  });

  test("what is not repeatable is replaced", () => {
    expect(parseRun("--insecure-options=image --insecure-options=tls,http a").globals.list("insecure-options")).toEqual(
      ["tls", "http"],
    );
    expect(parseRun("--pull-policy=new --pull-policy=never a").flags.string("pull-policy")).toBe("never");
  });

  test.each([
    ["--b", true],
    ["--b=true", true],
    ["--b=T", true],
    ["--b=1", true],
    ["--b=false", false],
    ["--b=0", false],
    ["--b=F --b", true],
    ["", false],
  ])("bool %s", (line, expected) => {
    expect(parse(plain([{ name: "b", kind: "bool", usage: "" }]), line).flags.bool("b")).toBe(expected);
  });

  test("durations", () => {
    const command = plain([{ name: "grace-period", kind: "duration", default: "30m0s", usage: "" }]);
    expect(parse(command, "").flags.duration("grace-period")).toBe(1_800_000);
    expect(parse(command, "--grace-period=0").flags.duration("grace-period")).toBe(0);
    expect(parse(command, "--grace-period 1h").flags.duration("grace-period")).toBe(3_600_000);
    expect(failure(() => parse(command, "--grace-period=soon"))).toBe(
      'invalid argument "soon" for "--grace-period" flag: time: invalid duration "soon"',
    );
  });

  test("a flag that nobody declared is a bug", () => {
    expect(() => parseRun("a").flags.string("nonsense")).toThrow("internal error");
  });
});

describe("words of other commands", () => {
  const status = plain([
    { name: "wait", kind: "string", default: "false", bare: "true", usage: "" },
    { name: "format", kind: "string", usage: "" },
  ]);

  test("flags and words mix; -- ends the flags", () => {
    const parsed = parse(status, "--wait u1 --format json --debug -- --format");
    expect(parsed.args).toEqual(["u1", "--format"]);
    expect(parsed.flags.string("wait")).toBe("true");
    expect(parsed.flags.string("format")).toBe("json");
    expect(parsed.globals.bool("debug")).toBe(true);
  });

  test("a command may end the flags at its first word", () => {
    const enter = plain([{ name: "app", kind: "string", usage: "" }], { stopAtFirstWord: true });
    const parsed = parse(enter, "--app=a UUID ls -l --debug");
    expect(parsed.args).toEqual(["UUID", "ls", "-l", "--debug"]);
    expect(parsed.flags.string("app")).toBe("a");
  });

  test("help ends the parse", () => {
    expect(parse(status, "x --help --nonsense").help).toBe(true);
    expect(parse(status, "-h").help).toBe(true);
    expect(parseRun("a --help").help).toBe(true);
    expect(parseRun("a -- --help").help).toBe(false);
  });

  test("deprecated flags are told, once", () => {
    expect(parseRun("--store-only --store-only=true a").deprecations).toEqual([
      "Flag --store-only has been deprecated, use --pull-policy=never",
    ]);
  });

  test.each([
    ["--nonsense", "unknown flag: --nonsense"],
    ["--nonsense=x", "unknown flag: --nonsense"],
    ["-x", "unknown shorthand flag: 'x' in -x"],
    ["---", "bad flag syntax: ---"],
    ["--=x", "bad flag syntax: --=x"],
    ["--format", "flag needs an argument: --format"],
    [
      "--debug=perhaps",
      'invalid argument "perhaps" for "--debug" flag: strconv.ParseBool: parsing "perhaps": invalid syntax',
    ],
  ])("refuses %s, with the usage", (line, message) => {
    expect(failure(() => parse(status, line))).toBe(message);
    expect(() => parse(status, line)).toThrow(CommandLineError);
  });

  test("control characters of an argument do not reach the terminal", () => {
    expect(failure(() => parseWords(status, GLOBAL_FLAGS, ["--\u001b[2J"]))).toBe("unknown flag: --\\x1b[2J");
  });
});

test("short forms, where a flag has one", () => {
  const logs = {
    ...{ name: "logs", summary: "", usage: "" },
    flags: [
      { name: "follow", short: "f", kind: "bool", usage: "" },
      { name: "tail", short: "n", kind: "string", usage: "" },
    ],
  } satisfies Command;
  for (const words of [
    ["-f", "-n", "5", "u"],
    ["-n5", "-f", "u"],
    ["--tail=5", "u", "-f"],
    ["-n=5", "u", "--follow"],
  ]) {
    const { flags, args } = parseWords(logs, [], words);
    expect([flags.bool("follow"), flags.string("tail"), args]).toEqual([true, "5", ["u"]]);
  }
  expect(() => parseWords(logs, [], ["-x"])).toThrow("unknown shorthand flag: 'x' in -x");
  expect(() => parseWords(logs, [], ["-fx"])).toThrow("unknown shorthand flag: 'f' in -fx");
});
