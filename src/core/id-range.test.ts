import { describe, expect, test } from "bun:test";
import { formatIdRange, idInPod, idOnHost, parseIdRange, rangesOverlap } from "./id-range.ts";

describe("a pod's range of users", () => {
  test("is read as it is written", () => {
    expect(parseIdRange("655360:65536\n")).toEqual({ shift: 655360, count: 65536 });
    expect(parseIdRange(formatIdRange({ shift: 131072, count: 65536 }))).toEqual({ shift: 131072, count: 65536 });
  });

  for (const text of [
    "",
    "0:65536",
    "65536",
    "65536:0",
    "1:2:3",
    "-1:5",
    "a:b",
    "4294967295:1",
    "4294901760:65536",
    "1e5:10",
  ]) {
    test(`is not ${JSON.stringify(text)}`, () => expect(() => parseIdRange(text)).toThrow("SHIFT:COUNT"));
  }

  test("translates ids both ways; what lies outside is nobody's", () => {
    const range = { shift: 131072, count: 65536 };
    expect([0, 1000, 65535].map((id) => idOnHost(range, id))).toEqual([131072, 132072, 196607]);
    expect(idOnHost(range, 70000)).toBe(131072 + 65534);
    expect([131072, 132072, 0, 196608].map((id) => idInPod(range, id))).toEqual([0, 1000, 65534, 65534]);
  });

  test("overlaps what shares an id with it", () => {
    const range = { shift: 100, count: 10 };
    expect([90, 91, 109, 110].map((shift) => rangesOverlap(range, { shift, count: 10 }))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});
