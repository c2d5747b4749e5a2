import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Confinement, confinementWords } from "./confinement.ts";
import { landlockVersion } from "./landlock.ts";

const CONFINE = join(import.meta.dir, "../../build/confine.elf");
const ACCOUNT = { name: "nobody", uid: 65534, gid: 65534 };
const CONFINEMENT: Confinement = { writable: 1, temporary: true, network: "none", fileSize: 5000, time: 60 };

describe("confinementWords()", () => {
  test("gives rights up before the signal at the parent's end is asked for, and the filter comes last", () => {
    const words = confinementWords({ account: ACCOUNT, groups: [7, 8], descriptors: 2, confinement: CONFINEMENT });
    const names = words.map((word) => word.replace(/=.*/, ""));
    const others = names.filter((name) => !["path", "fd", "limit", "landlock", "restrict"].includes(name));
    expect(others).toEqual(["bounding", "groups", "user", "inheritable", "nnp", "parent", "close", "filter"]);
    expect(names.indexOf("limit")).toBeLessThan(names.indexOf("filter"));
    expect(words).toContain("groups=7,8");
    expect(words).toContain("user=65534:65534");
    expect(words).toContain(`parent=${process.pid}`);
    expect(words).toContain("close=6");
  });
  test("keeps the caller's user without an account, and binds nothing without a confinement", () => {
    const words = confinementWords({ account: undefined, groups: [], descriptors: 0 });
    expect(words).toEqual(["inheritable", "nnp", `parent=${process.pid}`, "close=4"]);
  });
  test.if(landlockVersion() > 0)("lets the first directories be written, the others and all files only be read", () => {
    const words = confinementWords({ account: undefined, groups: [], descriptors: 2, confinement: CONFINEMENT });
    const rule = (fd: number) =>
      words.find((word) => word.startsWith("fd=") && word.endsWith(`:${fd}`))?.slice(3) ?? "";
    const [write = "", file = ""] = rule(3).split(":");
    const [read = "", otherFile = ""] = rule(4).split(":");
    const MAKE_FILE = 1n << 8n;
    expect(BigInt(`0x${write}`) & MAKE_FILE).toBe(MAKE_FILE);
    expect(BigInt(`0x${read}`) & MAKE_FILE).toBe(0n);
    expect([file, otherFile]).toEqual(["4", "4"]);
  });
});

describe("confine", () => {
  const run = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync(CONFINE, words, { encoding: "utf8", env: { SAID: "kept" } });
    return { status, stdout, stderr };
  };
  const parent = `parent=${process.pid}`;
  test("becomes the program, with its words and the environment, and without new privileges", () => {
    const shell = ["exec", "/bin/sh", "sh", "-c", 'echo "$SAID $1"; grep NoNewPrivs /proc/self/status', "-", "exec"];
    expect(run("nnp", parent, ...shell)).toEqual({ status: 0, stdout: "kept exec\nNoNewPrivs:\t1\n", stderr: "" });
  });
  test("lowers limits and never raises them", () => {
    const result = run("limit=1:5120", "limit=1:1048576", "exec", "/bin/sh", "sh", "-c", "ulimit -Sf; ulimit -Hf");
    // In blocks of 512 bytes (dash) or 1024 (bash).
    expect(["10\n10\n", "5\n5\n"]).toContain(result.stdout);
  });
  test.each([
    ["a word that it does not know", ["unconfined"]],
    ["half a rule", ["landlock=1ff"]],
    ["no number", ["limit=core:0"]],
    ["a filter that is none", ["filter=00"]],
    ["a filter that is no hexadecimal", ["filter=zz00000000000000"]],
    ["a rule without a ruleset", ["path=4:4:/usr"]],
    ["a descriptor that is not open", ["landlock=fff:0:0:8", "fd=4:4:77"]],
    ["no program", ["exec"]],
  ])("does not start anything with %s", (_name, words) => {
    const result = run("nnp", ...words, "exec", "/bin/echo", "echo", "started");
    expect(result).toMatchObject({ status: 126, stdout: "" });
    expect(result.stderr).toStartWith("confine: ");
  });
  test("ends when its parent is another", () => {
    expect(run("parent=1", "exec", "/bin/echo", "echo", "started")).toEqual({ status: 126, stdout: "", stderr: "" });
  });
});
