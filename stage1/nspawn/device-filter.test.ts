import { expect, test } from "bun:test";
import { type DeviceRule, deviceFilter } from "./device-filter.ts";

const [MKNOD, READ, WRITE] = [1, 2, 4];

/** Runs the program as the kernel would, on a struct bpf_cgroup_dev_ctx. */
function allowed(rules: readonly DeviceRule[], type: "b" | "c", major: number, minor: number, access: number): boolean {
  const program = new DataView(deviceFilter(rules).buffer);
  const context = [(access << 16) | (type === "b" ? 1 : 2), major, minor];
  const registers = Array.from({ length: 11 }, () => 0);
  for (let at = 0; ; at += 1) {
    const code = program.getUint8(at * 8);
    const [to, from] = [program.getUint8(at * 8 + 1) & 15, program.getUint8(at * 8 + 1) >> 4];
    const offset = program.getInt16(at * 8 + 2, true);
    const value = program.getInt32(at * 8 + 4, true);
    const left = registers[to] ?? 0;
    if (code === 0x95) return registers[0] === 1;
    if (code === 0x61) registers[to] = context[offset / 4] ?? 0;
    else if (code === 0xbf) registers[to] = registers[from] ?? 0;
    else if (code === 0xb7) registers[to] = value;
    else if (code === 0x57) registers[to] = left & value;
    else if (code === 0x74) registers[to] = left >>> value;
    else if (code === 0x55) at += left === value ? 0 : offset;
    else throw new Error(`unknown instruction ${code}`);
  }
}

test("what a rule names is allowed, as far as it says, and nothing else", () => {
  const rules: DeviceRule[] = [
    { type: "c", major: 1, minor: 3, access: "rwm" },
    { type: "c", major: 136, minor: undefined, access: "rwm" },
    { type: "b", major: 7, minor: 0, access: "r" },
    { type: "b", major: 7, minor: 1, access: "rw" },
  ];
  expect(allowed(rules, "c", 1, 3, READ | WRITE | MKNOD)).toBe(true);
  expect(allowed(rules, "c", 1, 4, READ)).toBe(false);
  expect(allowed(rules, "b", 1, 3, READ)).toBe(false);
  expect(allowed(rules, "c", 136, 1234, WRITE)).toBe(true);
  expect(allowed(rules, "b", 7, 0, READ)).toBe(true);
  expect(allowed(rules, "b", 7, 0, READ | WRITE)).toBe(false);
  expect(allowed(rules, "b", 7, 1, READ | WRITE)).toBe(true);
  expect(allowed(rules, "b", 7, 1, MKNOD)).toBe(false);
  expect(allowed([], "c", 1, 3, READ)).toBe(false);
});
