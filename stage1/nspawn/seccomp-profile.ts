/**
 * A seccomp profile in Docker's form as lines of systemd.exec(5). systemd's filter looks at a call's number alone; the three conditions on arguments that
 * profiles of the field have (no new namespaces, no VSOCK sockets, no other personality) are settings of its own. Any other condition is refused: leaving
 * it out would allow more than the profile does. Pure.
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { SeccompAction, SeccompProfile, SeccompRule } from "../../src/spec/appc/mod.ts";

export interface ProfileTarget {
  readonly app: string;
  readonly capabilities: readonly string[];
  /** Go's name: "amd64", "arm64". */
  readonly architecture: string;
  /** "6.1.0-13-amd64". */
  readonly kernel: string;
}

/** The [Service] lines. Throws UNSUPPORTED for what they cannot say. */
export function profileLines(profile: SeccompProfile, target: ProfileTarget): string[] {
  const rules = profile.rules.filter((rule) => isActive(rule, target));
  const lines = profile.defaultAction === "allow" ? removing(rules, target) : retaining(profile, rules, target);
  const architectures = profile.architectures.flatMap((name) => ARCHITECTURES[name] ?? []);
  // A second system call table of the processor would be a way around a filter that does not list it.
  if (architectures.length > 0) lines.push(`SystemCallArchitectures=${[...new Set(architectures)].join(" ")}`);
  return lines;
}

const ARCHITECTURES: Readonly<Record<string, string>> =
  process.arch === "arm64"
    ? { SCMP_ARCH_AARCH64: "arm64", SCMP_ARCH_ARM: "arm" }
    : { SCMP_ARCH_X86_64: "x86-64", SCMP_ARCH_X86: "x86", SCMP_ARCH_X32: "x32" };

function isActive({ includes, excludes }: SeccompRule, target: ProfileTarget): boolean {
  if (!includes.caps.every((name) => target.capabilities.includes(name))) return false;
  if (excludes.caps.some((name) => target.capabilities.includes(name))) return false;
  if (includes.arches.length > 0 && !includes.arches.includes(target.architecture)) return false;
  if (excludes.arches.includes(target.architecture)) return false;
  if (includes.minKernel !== "" && !isAtLeast(target.kernel, includes.minKernel)) return false;
  return excludes.minKernel === "" || !isAtLeast(target.kernel, excludes.minKernel);
}

function isAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(/[.-]/).map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** Everything is allowed but what the rules name. */
function removing(rules: readonly SeccompRule[], target: ProfileTarget): string[] {
  const words: string[] = [];
  const logged: string[] = [];
  for (const rule of rules) {
    if (rule.action === "allow") continue;
    if (rule.args.length > 0) throw depends(rule, target);
    if (rule.action === "log") logged.push(...rule.names);
    else words.push(...rule.names.map((name) => `${name}:${suffix(rule)}`));
  }
  return [
    ...(words.length === 0 ? [] : [`SystemCallFilter=~${[...new Set(words)].join(" ")}`]),
    ...(logged.length === 0 ? [] : [`SystemCallLog=${logged.join(" ")}`]),
  ];
}

/** Nothing is allowed but what the rules name. */
function retaining(profile: SeccompProfile, rules: readonly SeccompRule[], target: ProfileTarget): string[] {
  if (profile.defaultAction === "log") {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use the seccomp profile of app ${quoted(target.app)}: its defaultAction is SCMP_ACT_LOG, expected another`,
    );
  }
  const allows = (rule: SeccompRule) => rule.action === "allow" || rule.action === "log";
  const plain = new Set(rules.filter((rule) => allows(rule) && rule.args.length === 0).flatMap((rule) => rule.names));
  const allowed = new Map([...plain].map((name) => [name, ""]));
  const settings = new Set<string>();
  for (const rule of rules) {
    // Where a call is allowed whatever its arguments are, a rule about some of them adds nothing.
    const names = rule.names.filter((name) => !plain.has(name));
    if (allows(rule) && rule.args.length > 0 && names.length > 0) {
      for (const name of names) {
        settings.add(setting(name, rule, rules, plain) ?? fail(rule, target));
        allowed.set(name, "");
      }
    } else if (!allows(rule) && !isDefault(rule, profile)) {
      if (rule.args.length > 0 && rule.names.some((name) => plain.has(name))) throw depends(rule, target);
      if (rule.args.length === 0) for (const name of names) allowed.set(name, `:${suffix(rule)}`);
    }
  }
  const logged = rules.filter((rule) => rule.action === "log").flatMap((rule) => rule.names);
  return [
    // An empty list would switch the filter off.
    `SystemCallFilter=${allowed.size === 0 ? "@default" : [...allowed].map(([name, how]) => name + how).join(" ")}`,
    ...(profile.defaultAction === "errno" ? [`SystemCallErrorNumber=${profile.defaultErrno}`] : []),
    ...(logged.length === 0 ? [] : [`SystemCallLog=${logged.join(" ")}`]),
    ...settings,
  ];
}

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; older profiles left out NEWCGROUP. */
const NEW_NAMESPACES = [0x7e020000, 0x7c020000];
const AF_VSOCK = 40;
const PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xffffffff];

function setting(
  name: string,
  rule: SeccompRule,
  rules: readonly SeccompRule[],
  plain: ReadonlySet<string>,
): string | undefined {
  const [argument, ...others] = rule.args;
  if (argument === undefined || others.length > 0 || argument.index !== 0) return undefined;
  const { op, value, valueTwo } = argument;
  if (name === "clone" && op === "SCMP_CMP_MASKED_EQ" && NEW_NAMESPACES.includes(value) && valueTwo === 0) {
    // The setting forbids unshare(2) and setns(2) too.
    return plain.has("unshare") || plain.has("setns") ? undefined : "RestrictNamespaces=yes";
  }
  if (name === "socket" && op === "SCMP_CMP_NE" && value === AF_VSOCK) {
    const conditions = rules.filter((other) => other.names.includes("socket") && other.args.length > 0);
    return conditions.length === 1 ? "RestrictAddressFamilies=~AF_VSOCK" : undefined;
  }
  if (name === "personality" && op === "SCMP_CMP_EQ" && PERSONALITIES.includes(value)) return "LockPersonality=yes";
  return undefined;
}

function isDefault(rule: SeccompRule, profile: SeccompProfile): boolean {
  return rule.action === profile.defaultAction && (rule.action !== "errno" || rule.errno === profile.defaultErrno);
}

function suffix({ action, errno }: { readonly action: SeccompAction; readonly errno: number }): string {
  return action === "kill" ? "kill" : String(errno);
}

function fail(rule: SeccompRule, target: ProfileTarget): never {
  throw depends(rule, target);
}

function depends(rule: SeccompRule, target: ProfileTarget): RktError {
  return new RktError(
    "UNSUPPORTED",
    `Cannot use the seccomp profile of app ${quoted(target.app)}: its rule for ${quoted(rule.names.join(", "))} depends on arguments, which the pod's filter cannot look at`,
    { hint: 'allow these calls without "args", or leave them out' },
  );
}
