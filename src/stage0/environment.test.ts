import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  callerEnvironment,
  mergeEnvironment,
  parseAppVariables,
  parseEnvironment,
  parseVariables,
  readVariableFiles,
} from "./environment.ts";

const v = (name: string, value: string) => ({ name, value });

describe("mergeEnvironment", () => {
  test("lets the app's own variables win, and inherited ones only fill gaps", () => {
    const pod = {
      inherited: [v("A", "inherited"), v("Z", "inherited")],
      fromFiles: [v("A", "file"), v("B", "file")],
      set: [v("B", "set"), v("C", "set")],
    };
    const merged = mergeEnvironment(pod, [v("A", "image"), v("D", "image")], [v("C", "app")]);
    expect(merged).toEqual([v("A", "file"), v("D", "image"), v("B", "set"), v("C", "app"), v("Z", "inherited")]);
  });
});

describe("parseVariables", () => {
  test("keeps equals signs in values and refuses a key given twice", () => {
    expect(parseVariables(["A=b=c", "E="], "set-env")).toEqual([v("A", "b=c"), v("E", "")]);
    expect(() => parseVariables(["A=1", "A=2"], "set-env")).toThrow('key "A" already set');
    expect(() => parseVariables(["=1"], "set-env")).toThrow("expected NAME=VALUE");
    expect(() => parseEnvironment(["A B=1"], "set-env")).toThrow(
      'environment variable does not have valid identifier "A B" (--set-env)',
    );
  });
});

describe("parseAppVariables", () => {
  test("takes the last of a key given twice, as rkt 1.x did for the flags of an app", () => {
    expect(parseAppVariables(["A=1", "B=", "A=2=3"], "environment")).toEqual([v("A", "2=3"), v("B", "")]);
    expect(() => parseAppVariables(["A"], "environment")).toThrow('Cannot use "A" for --environment');
  });
});

describe("readVariableFiles", () => {
  test("skips comments, names the line of an error", () => {
    const dir = mkdtempSync("/tmp/rkt-env-");
    try {
      writeFileSync(join(dir, "good"), "# c\n; c\n\n \nA=1\r\n B=2 \n");
      writeFileSync(join(dir, "bad"), "A=1\noops\n");
      expect(readVariableFiles([join(dir, "good")])).toEqual([v("A", "1"), v("B", "2 ")]);
      expect(() => readVariableFiles([join(dir, "bad")])).toThrow("line 2");
      expect(() => readVariableFiles([join(dir, "none")])).toThrow("Cannot read the environment file");
      writeFileSync(join(dir, "again"), "C=1\nA=3\n");
      expect(() => readVariableFiles([join(dir, "good"), join(dir, "again")])).toThrow(
        `key "A" already set (line 2 of "${join(dir, "again")}")`,
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

test("callerEnvironment() leaves out variables meant for rkt itself", () => {
  expect(callerEnvironment({ PATH: "/bin", BUN_X: "1", LISTEN_FDS: "2", U: undefined })).toEqual([v("PATH", "/bin")]);
});

test("callerEnvironment() leaves out names that would make the pod's manifest a wrong one", () => {
  expect(callerEnvironment({ "BASH_FUNC_x%%": "() { :; }", "a b": "1", "app.name": "x" })).toEqual([
    v("app.name", "x"),
  ]);
});
