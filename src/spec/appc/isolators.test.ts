import { describe, expect, test } from "bun:test";
import {
  capabilitiesIsolator,
  capabilitySets,
  cpuLimitMilli,
  cpuShares,
  cpuSharesIsolator,
  ISOLATOR,
  memoryLimit,
  noNewPrivileges,
  oomScoreAdj,
  oomScoreAdjIsolator,
  replaceIsolators,
  resourceIsolator,
  seccompFilter,
  seccompIsolator,
} from "./mod.ts";

describe("isolators", () => {
  test("nothing is set where there is none", () => {
    expect(memoryLimit([])).toBeUndefined();
    expect(cpuLimitMilli([])).toBeUndefined();
    expect(cpuShares([])).toBeUndefined();
    expect(oomScoreAdj([])).toBeUndefined();
    expect(noNewPrivileges([])).toBe(false);
    const both = [true, false].map((value) => ({ name: ISOLATOR.noNewPrivileges, value }));
    expect(noNewPrivileges(both)).toBe(true);
    expect(capabilitySets([])).toEqual({ retain: undefined, remove: undefined });
    expect(seccompFilter([])).toBeUndefined();
  });

  test("what flags make is what readers read", () => {
    const isolators = [
      resourceIsolator(ISOLATOR.memory, "16M"),
      resourceIsolator(ISOLATOR.memory, "1Gi"),
      resourceIsolator(ISOLATOR.cpu, "750m"),
      cpuSharesIsolator(512),
      oomScoreAdjIsolator(-10),
      capabilitiesIsolator("remove", ["CAP_KILL"]),
      seccompIsolator({ mode: "retain", set: ["@docker/default-whitelist", "kexec_load"], errno: "EPERM" }),
      { name: ISOLATOR.noNewPrivileges, value: true },
    ];
    expect(memoryLimit(isolators)).toBe(1024 ** 3);
    expect(cpuLimitMilli(isolators)).toBe(750);
    expect(cpuShares(isolators)).toBe(512);
    expect(oomScoreAdj(isolators)).toBe(-10);
    expect(noNewPrivileges(isolators)).toBe(true);
    expect(capabilitySets(isolators)).toEqual({ retain: undefined, remove: ["CAP_KILL"] });
    expect(seccompFilter(isolators)).toEqual({
      mode: "retain",
      set: ["@docker/default-whitelist", "kexec_load"],
      errno: "EPERM",
    });
    expect(isolators[0]?.value).toEqual({ default: false, request: "16M", limit: "16M" });
  });

  test("of several sets of capabilities none is forgotten", () => {
    const sets = [["CAP_KILL"], ["CAP_MKNOD", "CAP_KILL"]].map((set) => capabilitiesIsolator("remove", set));
    expect(capabilitySets(sets)).toEqual({ retain: undefined, remove: ["CAP_KILL", "CAP_MKNOD"] });
  });

  test("wrong values do not become isolators", () => {
    expect(() => resourceIsolator(ISOLATOR.memory, "lots")).toThrow("as a quantity");
    expect(() => cpuSharesIsolator(1)).toThrow("os/linux/cpu-shares must be between 2 and 262144, got 1");
    expect(() => oomScoreAdjIsolator(-1001)).toThrow("os/linux/oom-score-adj must be between -1000 and 1000");
    expect(() => capabilitiesIsolator("retain", [])).toThrow("set must be non-empty");
    expect(() => seccompIsolator({ mode: "remove", set: ["a"], errno: "EBAD-" })).toThrow("errno can only contain");
  });

  test("a replacement takes the place of every isolator of those names", () => {
    const image = [cpuSharesIsolator(2), capabilitiesIsolator("retain", ["CAP_KILL"]), cpuSharesIsolator(3)];
    const replaced = replaceIsolators(image, [ISOLATOR.cpuShares], cpuSharesIsolator(9));
    expect(replaced.map((one) => one.name)).toEqual([ISOLATOR.capsRetain, ISOLATOR.cpuShares]);
    expect(cpuShares(replaced)).toBe(9);
  });
});
