import { describe, expect, test } from "bun:test";
import { parseDuration } from "./duration.ts";

describe("parseDuration", () => {
  test.each([
    ["0", 0],
    ["+0", 0],
    ["30m0s", 1_800_000],
    ["24h0m0s", 86_400_000],
    ["1h", 3_600_000],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["250ms", 250],
    ["10µs", 0.01],
    ["10us", 0.01],
    ["-1m", -60_000],
    ["1h15m30.918s", 4_530_918],
  ])("%s", (text, milliseconds) => {
    expect(parseDuration(text)).toBeCloseTo(milliseconds, 6);
  });

  test.each(["", "1", "s", "1 h", "1d", "1h-1m", "--1h", "1h1"])("refuses %p", (text) => {
    expect(() => parseDuration(text)).toThrow(`time: invalid duration "${text}"`);
  });
});
