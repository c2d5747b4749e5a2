import { expect, test } from "bun:test";
import { parseSeccomp } from "./seccomp-flag.ts";

test("parseSeccomp() takes mode, errno and calls", () => {
  expect(parseSeccomp("mode=remove,errno=EPERM,reboot")).toEqual({ mode: "remove", set: ["reboot"], errno: "EPERM" });
  expect(() => parseSeccomp("reboot")).toThrow("expected mode=retain or mode=remove");
  expect(() => parseSeccomp("mode=retain")).toThrow("names no system call");
});
