import { describe, expect, test } from "bun:test";
import { formatTable } from "./table.ts";

describe("formatTable", () => {
  test("pads with tabs to the next stop of eight", () => {
    expect(
      formatTable([
        ["ID", "NAME", "SIZE"],
        ["sha512-91e98d7f1679", "a", "12MiB"],
      ]),
    ).toBe("ID\t\t\tNAME\tSIZE\nsha512-91e98d7f1679\ta\t12MiB\n");
  });

  test("a cell that fills its stop exactly gets another tab", () => {
    expect(formatTable([["12345678", "x"]])).toBe("12345678\tx\n");
    expect(formatTable([["1234567", "x"]])).toBe("1234567\tx\n");
    expect(
      formatTable([
        ["12345678", "x"],
        ["1", "y"],
      ]),
    ).toBe("12345678\tx\n1\t\ty\n");
  });

  test("empty cells keep their column", () => {
    expect(
      formatTable([
        ["uuid", "app", "x"],
        ["", "other", "y"],
      ]),
    ).toBe("uuid\tapp\tx\n\tother\ty\n");
  });

  test("the last cell does not widen a column, and a block ends where a row lacks the column", () => {
    expect(formatTable([["a", "b"], ["a rather long line of one cell"], ["c", "d"]])).toBe(
      "a\tb\na rather long line of one cell\nc\td\n",
    );
  });

  test("no rows give nothing; characters are counted, not bytes", () => {
    expect(formatTable([])).toBe("");
    expect(formatTable([["ééééééé", "x"]])).toBe("ééééééé\tx\n");
  });
});
