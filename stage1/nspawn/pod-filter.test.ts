import { describe, expect, test } from "bun:test";
import type { App } from "../../src/spec/appc/mod.ts";
import { hasPodFilter, podFilter } from "./pod-filter.ts";

const [X86_64, I386, AARCH64] = [0xc000003e, 0x40000003, 0xc00000b7];
const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;

/** Runs the program as the kernel would, on the fields of struct seccomp_data that it reads. */
function verdict(architecture: number, call: number, apps: readonly App[] = []): number {
  const program = new DataView(podFilter(apps).buffer);
  let loaded = 0;
  for (let at = 0; ; at += 1) {
    const code = program.getUint16(at * 8, true);
    const value = program.getUint32(at * 8 + 4, true);
    if (code === 0x06) return value;
    if (code === 0x20) {
      loaded = value === 4 ? architecture : call;
      continue;
    }
    const holds = code === 0x15 ? loaded === value : loaded >= value;
    at += program.getUint8(at * 8 + (holds ? 2 : 3));
  }
}

describe("podFilter", () => {
  test("denies what reaches the kernel's keys, modules, clocks and other processes", () => {
    for (const call of [163, 101, 248, 249, 250, 175, 313, 246, 320, 321, 323, 425, 426, 427, 443])
      expect(verdict(X86_64, call)).toBe(EPERM);
    for (const call of [51, 26, 286, 287, 288, 128, 350, 283, 357, 374, 425, 166, 113])
      expect(verdict(I386, call)).toBe(EPERM);
  });

  test("lets everything pass that the pod's systemd needs, the numbers beside the denied ones too", () => {
    for (const call of [0, 1, 59, 101 - 1, 102, 155, 165, 166, 169, 247, 272, 308, 428, 442, 444, 500])
      expect(verdict(X86_64, call)).toBe(ALLOW);
    for (const call of [0, 3, 11, 25 - 1, 27, 21, 217, 310, 346, 428, 442]) expect(verdict(I386, call)).toBe(ALLOW);
  });

  test("what a capability of an app is for is let through", () => {
    const isolators = [{ name: "os/linux/capabilities-retain-set", value: { set: ["CAP_SYS_PTRACE", "CAP_KILL"] } }];
    const app = { exec: ["/bin/true"], user: "0", group: "0", isolators } as unknown as App;
    for (const [call, answer] of [
      [101, ALLOW],
      [310, ALLOW],
      [321, EPERM],
      [250, EPERM],
      [0, ALLOW],
    ] as const)
      expect(verdict(X86_64, call, [app])).toBe(answer);
    expect(verdict(I386, 26, [app])).toBe(ALLOW);
    expect(verdict(I386, 357, [app])).toBe(EPERM);
  });

  test("what the list of an app names is let through; a list of what is denied has no such filter", () => {
    const app = (name: string, value: unknown) =>
      ({ exec: ["/bin/true"], user: "0", group: "0", isolators: [{ name, value }] }) as unknown as App;
    const rule = (names: readonly string[], more: object = {}) => ({ names, action: "SCMP_ACT_ALLOW", ...more });
    const listed = app("os/linux/seccomp-retain-set", { set: ["keyctl", "@rkt/default-whitelist"] });
    const profile = app("os/linux/seccomp-profile", {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [rule(["keyctl"]), rule(["bpf"], { includes: { caps: ["CAP_BPF"] } })],
    });
    for (const one of [listed, profile]) {
      expect(hasPodFilter([one], false)).toBe(process.arch === "x64");
      expect([250, 321, 101].map((call) => verdict(X86_64, call, [one]))).toEqual([ALLOW, EPERM, EPERM]);
    }
    const denies = app("os/linux/seccomp-remove-set", { set: ["chroot"] });
    const allows = app("os/linux/seccomp-profile", { defaultAction: "SCMP_ACT_ALLOW" });
    const nothing = app("os/linux/seccomp-retain-set", { set: ["@appc.io/all"] });
    for (const one of [denies, allows, nothing]) expect(hasPodFilter([listed, one], false)).toBe(false);
  });

  test("x32 and other architectures get nothing", () => {
    expect(verdict(X86_64, 0x40000000)).toBe(EPERM);
    expect(verdict(X86_64, 0x40000000 + 520)).toBe(EPERM);
    expect(verdict(AARCH64, 0)).toBe(EPERM);
  });
});
