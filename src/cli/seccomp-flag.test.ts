import { expect, test } from "bun:test";
import { loggedFilter, parseSeccomp } from "./seccomp-flag.ts";

test("parseSeccomp() takes mode, errno and calls", () => {
  expect(parseSeccomp("mode=remove,errno=EPERM,reboot")).toEqual({ mode: "remove", set: ["reboot"], errno: "EPERM" });
  expect(() => parseSeccomp("reboot")).toThrow("expected mode=retain or mode=remove");
  expect(() => parseSeccomp("mode=retain")).toThrow("names no system call");
});

test("mode=log: alone it leaves the app's own filter, with calls it is as if these were retained", () => {
  expect(loggedFilter("mode=log")).toEqual({ isolator: undefined });
  expect(loggedFilter("mode=log,read,write")?.isolator).toEqual({
    name: "os/linux/seccomp-retain-set",
    value: { set: ["read", "write"], errno: "EPERM" },
  });
  expect(loggedFilter("mode=retain,read")).toBeUndefined();
  expect(() => loggedFilter("mode=log,errno=EPERM")).toThrow('Cannot use "errno=EPERM" with --seccomp=mode=log');
  expect(() => loggedFilter("mode=log,raed")).toThrow('Cannot use "raed" as a system call');
});
