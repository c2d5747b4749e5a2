import { describe, expect, test } from "bun:test";
import { BLANK_APP, ISOLATOR, type Isolator, seccompProfile, seccompProfileIsolator } from "../../src/spec/appc/mod.ts";
import { profileOfCalls } from "./profile-of-calls.ts";
import { profileLines } from "./seccomp-profile.ts";

const app = (...isolators: Isolator[]) => ({ ...BLANK_APP, exec: ["/bin/app"], isolators });
const target = { app: "app", capabilities: [], architecture: "amd64", kernel: "6.1.0" };

/** The unit's lines for a profile that is passed back. */
function linesOf(text: string): string[] {
  const profile = seccompProfile([seccompProfileIsolator(JSON.parse(text))]);
  if (profile === undefined) throw new Error("no profile");
  return profileLines(profile, target);
}

const words = (lines: readonly string[]) => (lines[0] ?? "").replace("SystemCallFilter=", "").split(" ");

describe("profileOfCalls", () => {
  test("allows what was found besides what the default allows, and still no namespaces", () => {
    const lines = linesOf(profileOfCalls("app", app(), ["keyctl", "ptrace"]));
    for (const call of ["keyctl", "ptrace", "read", "clone", "clone3:38"]) expect(words(lines)).toContain(call);
    for (const call of ["mount", "unshare", "bpf"]) expect(words(lines)).not.toContain(call);
    expect(lines).toContain("RestrictNamespaces=yes");
    expect(lines).toContain("SystemCallErrorNumber=1");
  });

  test("an app that makes namespaces is allowed to, by every call", () => {
    for (const call of ["clone", "unshare"]) {
      const lines = linesOf(profileOfCalls("app", app(), [call]));
      for (const name of ["clone", "clone3", call]) expect(words(lines)).toContain(name);
      expect(lines).not.toContain("RestrictNamespaces=yes");
    }
  });

  test("a set of the app's own is kept, and added to", () => {
    const own = { name: ISOLATOR.seccompRetain, value: { set: ["read", "write"] } };
    const lines = linesOf(profileOfCalls("app", app(own), ["openat"]));
    for (const call of ["read", "write", "openat", "execve"]) expect(words(lines)).toContain(call);
    expect(words(lines)).not.toContain("clone");
  });

  test("a call without a name cannot be written", () => {
    expect(() => profileOfCalls("app", app(), ["470"])).toThrow('it made the system call "470"');
  });
});
