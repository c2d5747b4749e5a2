import { expect, test } from "bun:test";
import { parseKernelMessage } from "./kernel-log.ts";

test("a record of /dev/kmsg", () => {
  expect(parseKernelMessage("6,1234,5000001,-;Memory cgroup out of memory\n SUBSYSTEM=x\n")).toEqual({
    time: 5.000001,
    text: "Memory cgroup out of memory",
  });
  expect(parseKernelMessage("4,1,17,c,caller=T1;a;b")).toEqual({ time: 0.000017, text: "a;b" });
  expect(parseKernelMessage("no record")).toBeUndefined();
});
