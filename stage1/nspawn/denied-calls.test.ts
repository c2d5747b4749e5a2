import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nativeTables, systemCalls } from "../../src/host/system-call-numbers.ts";
import { DENIED_CALLS } from "./denied-calls.ts";
import { CALLS_BY_CAPABILITY, DEFAULT_CALLS, SECCOMP_SETS } from "./seccomp-sets.ts";

const denied = DENIED_CALLS.flatMap(({ calls }) => calls);

describe("DENIED_CALLS", () => {
  test("together with the default's calls they are all that this machine has, each in one place", () => {
    const allowed = new Set(DEFAULT_CALLS);
    const told = new Set(denied);
    expect(denied.filter((name, index) => denied.indexOf(name) !== index)).toEqual([]);
    expect(denied.filter((name) => allowed.has(name))).toEqual([]);
    const all = nativeTables().flatMap((table) => [...systemCalls(table).keys()]);
    expect(all.filter((name) => !allowed.has(name) && !told.has(name))).toEqual([]);
  });

  test("what a capability brings, and what the dangerous set names, is denied otherwise", () => {
    const named = [...CALLS_BY_CAPABILITY.values(), SECCOMP_SETS.get("@rkt/default-blacklist") ?? []].flat();
    expect(named.filter((name) => !denied.includes(name))).toEqual([]);
  });

  test("docs/system-calls.md has this list", () => {
    const page = readFileSync(join(import.meta.dir, "../../docs/system-calls.md"), "utf8");
    const brings = new Map<string, string[]>();
    for (const [capability, calls] of CALLS_BY_CAPABILITY)
      for (const call of calls) brings.set(call, [...(brings.get(call) ?? []), capability]);
    const call = (name: string) =>
      `\`${name}\`${
        brings.has(name)
          ? ` (${brings
              .get(name)
              ?.map((capability) => capability.slice("CAP_".length))
              .join(", ")})`
          : ""
      }`;
    const table = DENIED_CALLS.map(({ what, why, calls }) => `| ${what} | ${calls.map(call).join(" ")} | ${why} |\n`);
    expect(page).toContain(`| calls | names | why |\n|---|---|---|\n${table.join("")}`);
  });
});
