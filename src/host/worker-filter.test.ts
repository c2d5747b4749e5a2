import { describe, expect, test } from "bun:test";
import { type WorkerCalls, workerFilter } from "./worker-filter.ts";

const [X64, ARM64, I386] = [0xc000003e, 0xc00000b7, 0x40000003];
const [ALLOW, EPERM, ENOSYS] = [0x7fff0000, 0x00050001, 0x00050026];

/** Runs the program as the kernel would, on struct seccomp_data. */
function verdict(calls: WorkerCalls, number: number, argument = 0, architecture = X64): number {
  const bytes = workerFilter(calls, architecture === ARM64 ? "arm64" : "x64");
  if (bytes === undefined) throw new Error("no filter");
  const program = new DataView(bytes.buffer);
  const data = new Map([
    [0, number],
    [4, architecture],
    [16, argument],
  ]);
  let loaded = 0;
  for (let at = 0; ; at += 1) {
    const code = program.getUint16(at * 8, true);
    const value = program.getUint32(at * 8 + 4, true);
    if (code === 0x06) return value;
    if (code === 0x20) loaded = data.get(value) ?? Number.NaN;
    else if (code === 0x54) loaded = (loaded & value) >>> 0;
    else {
      const holds = code === 0x15 ? loaded === value : code === 0x25 ? loaded > value : loaded >= value;
      at += program.getUint8(at * 8 + (holds ? 2 : 3));
    }
  }
}

describe("workerFilter", () => {
  test("lets through what every worker needs, and what only some do", () => {
    for (const calls of ["network", "files", "owners"] as const)
      for (const number of [0, 1, 9, 59, 202, 231, 257, 437]) expect(verdict(calls, number)).toBe(ALLOW);
    const [connect, chown, mknodat, lsetxattr, fchmod] = [42, 92, 259, 189, 91];
    expect(["network", "files", "owners"].map((calls) => verdict(calls as WorkerCalls, connect))).toEqual([
      ALLOW,
      EPERM,
      EPERM,
    ]);
    for (const number of [chown, mknodat, lsetxattr])
      expect(["network", "files", "owners"].map((calls) => verdict(calls as WorkerCalls, number))).toEqual([
        EPERM,
        EPERM,
        ALLOW,
      ]);
    expect(verdict("files", fchmod)).toBe(ALLOW);
  });

  test("looks at the family of a socket and at the flags of a clone", () => {
    const families = [1, 2, 10, 16, 17, 38, 40];
    expect(families.filter((family) => verdict("network", 41, family) === ALLOW)).toEqual([1, 2, 10, 16]);
    expect(families.filter((family) => verdict("owners", 41, family) === ALLOW)).toEqual([1]);
    expect(verdict("files", 56, 0x3d0f00)).toBe(ALLOW);
    for (const namespace of [0x02000000, 0x04000000, 0x10000000, 0x20000000, 0x40000000])
      expect(verdict("files", 56, namespace | 17)).toBe(EPERM);
    expect(verdict("files", 435)).toBe(ENOSYS);
  });

  test("what nobody knows yet is missing, what is known is refused, other architectures get nothing", () => {
    expect(verdict("network", 470)).toBe(ENOSYS);
    for (const number of [101, 155, 165, 166, 250, 272, 308, 321, 425]) expect(verdict("network", number)).toBe(EPERM);
    expect(verdict("network", 0x40000000)).toBe(EPERM);
    expect(verdict("network", 1, 0, I386)).toBe(EPERM);
  });

  test("has the numbers of arm64", () => {
    for (const number of [63, 64, 221, 222]) expect(verdict("files", number, 0, ARM64)).toBe(ALLOW);
    for (const number of [40, 97, 117, 268, 280]) expect(verdict("owners", number, 0, ARM64)).toBe(EPERM);
    expect(verdict("network", 198, 2, ARM64)).toBe(ALLOW);
    expect(verdict("network", 198, 17, ARM64)).toBe(EPERM);
    expect(workerFilter("files", "riscv64")).toBeUndefined();
  });
});
