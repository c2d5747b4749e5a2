import { describe, expect, test } from "bun:test";
import { parseQuantity, quantityMilli, quantityUnits } from "./quantity.ts";

describe("quantities", () => {
  test.each([
    ["0", 0, 0],
    ["1", 1, 1000],
    ["+1", 1, 1000],
    ["-1", -1, -1000],
    ["16M", 16_000_000, 16_000_000_000],
    ["16Mi", 16_777_216, 16_777_216_000],
    ["1G", 1_000_000_000, 1_000_000_000_000],
    ["1k", 1000, 1_000_000],
    ["1.5Gi", 1_610_612_736, 1_610_612_736_000],
    ["500m", 1, 500],
    ["1.5", 2, 1500],
    [".5", 1, 500],
    ["1.", 1, 1000],
    ["0.1", 1, 100],
    ["2e3", 2000, 2_000_000],
    ["2E3", 2000, 2_000_000],
    ["1e-3", 1, 1],
    ["1E", Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ["1n", 1, 1],
    ["0.0000000001", 1, 1],
    ["007", 7, 7000],
  ])("%p is %d units, %d thousandths", (text, units, milli) => {
    const quantity = parseQuantity(text);
    expect(quantity.text).toBe(text);
    expect(quantityUnits(quantity)).toBe(units);
    expect(quantityMilli(quantity)).toBe(milli);
  });

  test.each([
    "",
    ".",
    "+",
    "k",
    "1K",
    "1X",
    "1 M",
    "1.2.3",
    "1MiB",
    "0x10",
    "1e999999999",
    "NaN",
    "1,5",
    "9".repeat(100),
  ])("%p is refused", (text) => {
    expect(() => parseQuantity(text)).toThrow("as a quantity");
  });
});
