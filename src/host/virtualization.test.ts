import { expect, test } from "bun:test";
import { virtualizes } from "./virtualization.ts";

const processor = (flags: string) =>
  `processor\t: 0\nmodel name\t: Some Processor svm\nflags\t\t: ${flags}\nbugs\t\t: vmx\n\n`;

test.each([
  ["Intel's", "fpu vme vmx est", true],
  ["AMD's", "fpu vme svm", true],
  ["a cloud's machine without machines of its own", "fpu vme hypervisor svm_lock", false],
])("a processor: %s", (_, flags, expected) => {
  expect(virtualizes(processor(flags) + processor("vmx"))).toBe(expected);
});

test("a text without flags", () => {
  expect(virtualizes("")).toBe(false);
});
