import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { type CallTable, systemCalls } from "./system-call-numbers.ts";

/** The macros of a kernel header, through the compiler that `make build` needs. */
function ofHeader(header: string): Map<string, number> {
  const { stdout, status } = spawnSync("gcc", ["-E", "-dM", "-x", "c", "-"], {
    input: `#include <${header}>\n`,
    encoding: "utf8",
  });
  expect(status).toBe(0);
  const found = [...stdout.matchAll(/^#define __NR_(\w+) ([0-9]+)$/gm)];
  return new Map(found.map(([, name = "", number]) => [name, Number(number)]));
}

const HEADERS: [CallTable, string, number][] =
  process.arch === "arm64"
    ? [["arm64", "asm/unistd.h", 280]]
    : [
        ["x64", "asm/unistd_64.h", 350],
        ["i386", "asm/unistd_32.h", 430],
      ];

describe("systemCalls", () => {
  test.each(HEADERS)("%s: every call of this machine's <%s>, with its number", (table, header, atLeast) => {
    const here = ofHeader(header);
    expect(here.size).toBeGreaterThan(atLeast);
    const known = systemCalls(table);
    const wrong = [...here].filter(([name, number]) => known.get(name) !== number);
    expect(wrong).toEqual([]);
  });

  test.each(["x64", "i386", "arm64"] as const)("%s: no number twice", (table) => {
    const calls = systemCalls(table);
    expect(new Set(calls.values()).size).toBe(calls.size);
  });

  test("where the three begin, and where all have the same numbers", () => {
    expect(systemCalls("x64").get("execve")).toBe(59);
    expect(systemCalls("i386").get("execve")).toBe(11);
    expect(systemCalls("arm64").get("execve")).toBe(221);
    for (const table of ["x64", "i386", "arm64"] as const) {
      expect(systemCalls(table).get("clone3")).toBe(435);
      expect(systemCalls(table).get("file_setattr")).toBe(469);
    }
  });
});
