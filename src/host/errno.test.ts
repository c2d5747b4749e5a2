import { expect, test } from "bun:test";
import { constants } from "node:os";
import { errnoName } from "./errno.ts";

test("every errno of the runtime's table has its name, or the alias that the kernel's headers put first", () => {
  const aliases = new Map([
    ["EWOULDBLOCK", "EAGAIN"],
    ["ENOTSUP", "EOPNOTSUPP"],
    ["EDEADLOCK", "EDEADLK"],
  ]);
  const entries = Object.entries(constants.errno);
  expect(entries.length).toBeGreaterThan(70);
  for (const [name, number] of entries)
    expect([number, errnoName(number)]).toEqual([number, aliases.get(name) ?? name]);
});

test("numbers that nobody has are told as numbers", () => {
  for (const number of [0, -1, 41, 58, 134, 4096]) expect(errnoName(number)).toBe(`errno ${number}`);
});
