import { expect, test } from "bun:test";
import { parseDeniedCalls } from "./denied-calls.ts";

test("a record of denied calls: sorted; what is no line of it is passed over", () => {
  const text = "ptrace 3\nkeyctl 1\n470 2\n\u001b[31m 4\nmount -1\nmount 1 2\nlast";
  expect([...parseDeniedCalls(text)]).toEqual([
    ["470", 2],
    ["keyctl", 1],
    ["ptrace", 3],
  ]);
  expect(parseDeniedCalls("").size).toBe(0);
});
