/**
 * The services that are shipped, as systemd-analyze(1) rates their sandbox (0: the least they could do, 10: everything), and whether each setting that lowers
 * the rating and is not there has its reason in the unit. Needs systemd's programs, no running systemd.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

const UNITS = "dist/init/systemd";

/** The highest rating that is accepted. gc has to unmount in the host's own namespace of mounts. */
const LIMITS: Readonly<Record<string, number>> = {
  "rkt-api.service": 3.0,
  "rkt-gc.service": 6.0,
  "rkt-metadata.service": 3.0,
};

let dir: TemporaryDirectory;

beforeAll(() => {
  dir = temporaryDirectory("units");
  // As the installation writes them: the place of the program is part of the unit.
  for (const unit of Object.keys(LIMITS))
    writeFileSync(join(dir.path, unit), textOf(unit).replaceAll("@PREFIX@", "/usr"));
});
afterAll(() => dir[Symbol.dispose]());

const textOf = (unit: string) => readFileSync(join(UNITS, unit), "utf8");
const analyze = (...words: string[]) =>
  runProgram(["systemd-analyze", "security", "--offline=true", "--no-pager", ...words]);

interface Setting {
  readonly name: string;
  /** What the setting's absence adds to the rating; null: nothing. */
  readonly exposure: string | null;
}

test("every service that is shipped has a limit", () => {
  const services = readdirSync(UNITS).filter((name) => name.endsWith(".service"));
  expect(services.sort()).toEqual(Object.keys(LIMITS).sort());
});

describe.each(Object.entries(LIMITS))("%s", (unit, limit) => {
  test(`is rated ${limit} or better`, () => {
    // Fails with its exit status above the threshold, a number of tenths.
    const said = analyze(`--threshold=${limit * 10}`, join(dir.path, unit));
    const rating = Number(/exposure level for \S+: ([0-9.]+)/.exec(said)?.[1]);
    expect(rating).toBeGreaterThan(0);
    expect(rating).toBeLessThanOrEqual(limit);
  });

  test("gives its reason for each setting that is left out", () => {
    const settings = JSON.parse(analyze("--json=short", join(dir.path, unit))) as Setting[];
    const reasons = comments(textOf(unit));
    const missing = settings.filter(({ exposure }) => exposure !== null).map(({ name }) => name);
    expect(missing.length).toBeGreaterThan(3);
    expect(missing.filter((name) => !wordsFor(name).some((word) => reasons.includes(word)))).toEqual([]);
  });

  test("gives its reason for each capability that it keeps", () => {
    const kept = [...textOf(unit).matchAll(/^CapabilityBoundingSet=(.*)$/gm)].flatMap(([, words = ""]) =>
      words.split(" ").filter(Boolean),
    );
    expect(kept.filter((word) => !comments(textOf(unit)).includes(word))).toEqual([]);
  });
});

const comments = (text: string) => (text.match(/^#.*$/gm) ?? []).join("\n");

/** What a reason has to name, one of: the setting, or of a setting with many parts that part: "CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP)" is CAP_SETUID and its kin. */
function wordsFor(name: string): string[] {
  const [setting = "", part] = name.split("~");
  if (part === undefined) return (setting.match(/\w+=/g) ?? []).map(String);
  const alternatives = /^(\w*)\((.*)\)$/.exec(part);
  if (alternatives === null) return [part.startsWith("@") || part.includes("_") ? part : setting];
  const [, prefix = "", rest = ""] = alternatives;
  return rest.split("|").map((word) => (word.endsWith("*") ? `${prefix}${word.slice(0, -1)}` : `${prefix}${word}`));
}
