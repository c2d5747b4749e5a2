import { describe, expect, test } from "bun:test";
import { type SeccompProfile, seccompProfile, seccompProfileIsolator } from "../../src/spec/appc/mod.ts";
import type { JsonValue } from "../../src/spec/json-value.ts";
import { profileLines } from "./seccomp-profile.ts";

const TARGET = { app: "web", capabilities: ["CAP_CHOWN"], architecture: "amd64", kernel: "6.1.0-13-amd64" };

function profile(fields: Record<string, JsonValue>): SeccompProfile {
  const read = seccompProfile([seccompProfileIsolator({ defaultAction: "SCMP_ACT_ERRNO", ...fields })]);
  if (read === undefined) throw new Error("a profile was given");
  return read;
}

const lines = (fields: Record<string, JsonValue>, target = TARGET) => profileLines(profile(fields), target);
const allow = (names: string[], more: Record<string, JsonValue> = {}) => ({ names, action: "SCMP_ACT_ALLOW", ...more });
const equals = (value: number, op = "SCMP_CMP_EQ") => ({ args: [{ index: 0, value, valueTwo: 0, op }] });

describe("profileLines", () => {
  test("what is named is allowed, and the rest gives the default error", () => {
    expect(lines({ syscalls: [allow(["read", "write"]), { name: "exit", action: "SCMP_ACT_ALLOW" }] })).toEqual([
      "SystemCallFilter=read write exit",
      "SystemCallErrorNumber=1",
    ]);
    expect(lines({ defaultAction: "SCMP_ACT_KILL", syscalls: [allow(["read"])] })).toEqual(["SystemCallFilter=read"]);
    expect(lines({ syscalls: [] })).toEqual(["SystemCallFilter=@default", "SystemCallErrorNumber=1"]);
  });

  test("calls with an error of their own, or that kill", () => {
    const syscalls = [
      allow(["read"]),
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
      { names: ["reboot"], action: "SCMP_ACT_KILL_PROCESS" },
      { names: ["mount"], action: "SCMP_ACT_ERRNO", errnoRet: 1 },
    ];
    expect(lines({ syscalls })[0]).toBe("SystemCallFilter=read clone3:38 reboot:kill");
  });

  test("a list of what is forbidden", () => {
    const syscalls = [
      { names: ["mount", "umount2"], action: "SCMP_ACT_ERRNO", errnoRet: 13 },
      { names: ["ptrace"], action: "SCMP_ACT_LOG" },
    ];
    expect(lines({ defaultAction: "SCMP_ACT_ALLOW", syscalls })).toEqual([
      "SystemCallFilter=~mount:13 umount2:13",
      "SystemCallLog=ptrace",
    ]);
  });

  test("rules count for the app's capabilities, the machine and the kernel", () => {
    const syscalls = [
      allow(["read"]),
      allow(["mount"], { includes: { caps: ["CAP_SYS_ADMIN"] } }),
      allow(["chown"], { includes: { caps: ["CAP_CHOWN"] } }),
      allow(["a"], { excludes: { caps: ["CAP_CHOWN"] } }),
      allow(["arm_sync_file_range"], { includes: { arches: ["arm64"] } }),
      allow(["arch_prctl"], { includes: { arches: ["amd64", "x32"] } }),
      allow(["ptrace"], { includes: { minKernel: "4.8" } }),
      allow(["future"], { includes: { minKernel: "6.2" } }),
    ];
    expect(lines({ syscalls })[0]).toBe("SystemCallFilter=read chown arch_prctl ptrace");
  });

  test("the conditions on arguments that systemd has a setting for", () => {
    const syscalls = [
      allow(["personality"], equals(0)),
      allow(["personality"], equals(0xffffffff)),
      allow(["clone"], equals(0x7e020000, "SCMP_CMP_MASKED_EQ")),
      allow(["socket"], equals(40, "SCMP_CMP_NE")),
    ];
    expect(lines({ syscalls })).toEqual([
      "SystemCallFilter=personality clone socket",
      "SystemCallErrorNumber=1",
      "LockPersonality=yes",
      "RestrictNamespaces=yes",
      "RestrictAddressFamilies=~AF_VSOCK",
    ]);
  });

  test("a condition on a call that is allowed anyway adds nothing", () => {
    const syscalls = [allow(["clone"]), allow(["clone"], equals(0x7e020000, "SCMP_CMP_MASKED_EQ"))];
    expect(lines({ syscalls })).toEqual(["SystemCallFilter=clone", "SystemCallErrorNumber=1"]);
  });

  test("any other condition is refused, not left out", () => {
    const refused = 'Cannot use the seccomp profile of app "web": its rule for';
    expect(() => lines({ syscalls: [allow(["ioctl"], equals(1))] })).toThrow(refused);
    expect(() => lines({ syscalls: [allow(["socket"], equals(2))] })).toThrow(refused);
    const clone = allow(["clone"], equals(0x7e020000, "SCMP_CMP_MASKED_EQ"));
    expect(() => lines({ syscalls: [clone, allow(["unshare"])] })).toThrow(refused);
    const denied = { names: ["mount"], action: "SCMP_ACT_ERRNO", ...equals(1) };
    expect(() => lines({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [denied] })).toThrow(refused);
    expect(() => lines({ syscalls: [allow(["mount"]), denied] })).not.toThrow();
    expect(() => lines({ syscalls: [allow(["mount"]), { ...denied, errnoRet: 5 }] })).toThrow(refused);
    expect(() => lines({ defaultAction: "SCMP_ACT_LOG", syscalls: [] })).toThrow("its defaultAction is SCMP_ACT_LOG");
  });

  test("architectures: a second table of calls is closed unless it is listed", () => {
    if (process.arch !== "x64") return expect(lines({ architectures: ["SCMP_ARCH_AARCH64"] })[2]).toContain("arm64");
    expect(lines({ architectures: ["SCMP_ARCH_X86_64"], syscalls: [allow(["read"])] }).at(-1)).toBe(
      "SystemCallArchitectures=x86-64",
    );
    const archMap = [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }];
    expect(lines({ archMap, syscalls: [allow(["read"])] }).at(-1)).toBe("SystemCallArchitectures=x86-64 x86");
  });
});

test("profiles are read strictly", () => {
  for (const [fields, problem] of [
    [{ defaultAction: "SCMP_ACT_TRACE" }, 'defaultAction: unknown action "SCMP_ACT_TRACE"'],
    [{ defaultAction: undefined }, "defaultAction: unknown action"],
    [{ syscalls: [{ names: [], action: "SCMP_ACT_ALLOW" }] }, "syscalls[0]: names must be non-empty"],
    [{ syscalls: [allow(["read\nUser=0"])] }, "is not the name of a system call"],
    [{ syscalls: [allow(["read"], { args: [{ index: 9, op: "SCMP_CMP_EQ" }] })] }, "syscalls[0].args[0].index"],
    [{ syscalls: [allow(["read"], { args: [{ index: 0, op: "EQ" }] })] }, "unknown comparison"],
    [{ syscalls: [allow(["read"], { includes: { minKernel: "new" } })] }, "expected a version such as 4.8"],
    [{ architectures: ["x86"] }, "unknown architecture"],
    [{ flags: ["SECCOMP_FILTER_FLAG_NEW"] }, "unknown flag"],
    [{ syscalls: 1 }, "syscalls: expected a list, got a number"],
  ] as [Record<string, JsonValue>, string][])
    expect(() => profile(fields)).toThrow(problem);
});
