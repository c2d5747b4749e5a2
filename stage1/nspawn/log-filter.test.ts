import { describe, expect, test } from "bun:test";
import { ARCHITECTURE } from "../../src/host/filter-program.ts";
import { type CallTable, systemCalls } from "../../src/host/system-call-numbers.ts";
import { ISOLATOR, type Isolator } from "../../src/spec/appc/mod.ts";
import { allowedCalls, logFilter, logNames } from "./log-filter.ts";
import { DEFAULT_CALLS, isSystemCall } from "./seccomp-sets.ts";

const [ALLOW, ASK, EPERM, ENOSYS] = [0x7fff0000, 0x7fc00000, 0x00050001, 0x00050026];
const NEWUSER = 0x10000000;

/** Runs the program as the kernel would (seccomp(2), struct seccomp_data). */
function verdict(filter: Uint8Array, architecture: number, number: number, argument = 0): number {
  const program = new DataView(filter.buffer);
  let loaded = 0;
  for (let at = 0; ; at += 1) {
    const code = program.getUint16(at * 8, true);
    const value = program.getUint32(at * 8 + 4, true);
    if (code === 0x06) return value;
    if (code === 0x05) at += value;
    else if (code === 0x20) loaded = value === 4 ? architecture : value === 16 ? argument : number;
    else {
      const holds = code === 0x15 ? loaded === value : code === 0x35 ? loaded >= value : (loaded & value) !== 0;
      at += program.getUint8(at * 8 + (holds ? 2 : 3));
    }
  }
}

const TABLES: readonly CallTable[] = ["x64", "i386"];
const numberOf = (table: CallTable, name: string) => systemCalls(table).get(name) ?? -1;
const ask = (filter: Uint8Array, table: CallTable, name: string, argument = 0) =>
  verdict(filter, ARCHITECTURE[table], numberOf(table, name), argument);
const retain = (...set: string[]): Isolator[] => [{ name: ISOLATOR.seccompRetain, value: { set } }];
const remove = (...set: string[]): Isolator[] => [{ name: ISOLATOR.seccompRemove, value: { set } }];

describe("logFilter", () => {
  const standard = logFilter(allowedCalls("app", [], []), TABLES);

  test("lets pass what the default filter lets pass, and asks about everything else", () => {
    expect(standard.length / 8).toBeLessThan(4096);
    for (const table of TABLES) {
      const wrong = [...systemCalls(table)].filter(([name, number]) => {
        const expected = name === "clone3" ? ENOSYS : DEFAULT_CALLS.includes(name) ? ALLOW : ASK;
        return verdict(standard, ARCHITECTURE[table], number) !== expected;
      });
      expect(wrong).toEqual([]);
    }
    expect(verdict(standard, ARCHITECTURE.x64, 9999)).toBe(ASK);
  });

  test("asks about clone with a new namespace; x32 and other architectures get nothing", () => {
    for (const table of TABLES) {
      expect(ask(standard, table, "clone", 17)).toBe(ALLOW);
      expect(ask(standard, table, "clone", NEWUSER + 17)).toBe(ASK);
    }
    expect(verdict(standard, ARCHITECTURE.x64, 0x40000000)).toBe(EPERM);
    expect(verdict(standard, ARCHITECTURE.arm64, 0)).toBe(EPERM);
  });

  test("a capability brings its calls, a set replaces the default's", () => {
    const admin = logFilter(allowedCalls("app", [], ["CAP_SYS_ADMIN"]), TABLES);
    expect(ask(admin, "x64", "mount")).toBe(ALLOW);
    expect(ask(admin, "x64", "clone", NEWUSER)).toBe(ALLOW);
    expect(ask(admin, "x64", "keyctl")).toBe(ASK);
    const few = logFilter(allowedCalls("app", retain("read", "keyctl"), []), TABLES);
    for (const name of ["read", "keyctl", "execve", "exit_group"]) expect(ask(few, "x64", name)).toBe(ALLOW);
    for (const name of ["write", "clone", "sendmsg"]) expect(ask(few, "x64", name)).toBe(ASK);
    const most = logFilter(allowedCalls("app", remove("mkdir"), []), TABLES);
    expect([ask(most, "x64", "mkdir"), ask(most, "x64", "mount")]).toEqual([ASK, ALLOW]);
    expect(ask(logFilter(allowedCalls("app", remove("@appc.io/empty"), []), TABLES), "x64", "mount")).toBe(ASK);
  });

  test("what only systemd knows, and what denies nothing, is refused", () => {
    expect(() => allowedCalls("app", retain("@systemd/clock"), [])).toThrow("known to systemd alone");
    expect(() => allowedCalls("app", retain("@appc.io/all"), [])).toThrow("no filter that could deny");
    const profile = [{ name: ISOLATOR.seccompProfile, value: { defaultAction: "SCMP_ACT_ALLOW" } }];
    expect(() => allowedCalls("app", profile, [])).toThrow("its filter is a profile");
  });

  test("names what it asks about", () => {
    const names = logNames(allowedCalls("app", [], []), TABLES).split("\n");
    expect(names).toContain("3221225534 250 keyctl");
    expect(names).toContain("1073741827 288 keyctl");
    expect(names).toContain("3221225534 56 clone");
    expect(names).not.toContain("3221225534 0 read");
  });
});

test.each(["x64", "i386", "arm64"] as const)("%s: every name can stand in a filter", (table) => {
  expect([...systemCalls(table).keys()].filter((name) => !isSystemCall(name))).toEqual([]);
});
