/**
 * Seccomp profiles in the form of Docker and the OCI runtime specification (config-linux.md "seccomp"; containers/common "seccomp.json"). Read strictly: an
 * action or comparison that is not known would be a filter that does not filter. What a profile means is worked out where the app is started.
 */

import { complaint, field, items, optionalInteger, type Place, text } from "../document.ts";

export type SeccompAction = "allow" | "errno" | "kill" | "log";

export interface SeccompProfile {
  readonly defaultAction: SeccompAction;
  /** For "errno". */
  readonly defaultErrno: number;
  /** libseccomp's names ("SCMP_ARCH_X86_64"), sub-architectures included; empty: every one that the machine can run. */
  readonly architectures: readonly string[];
  readonly rules: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errno: number;
  readonly args: readonly SeccompArgument[];
  readonly includes: SeccompCondition;
  readonly excludes: SeccompCondition;
}

export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: string;
}

/** When a rule counts: capabilities, architectures (Go's names), the oldest kernel. */
export interface SeccompCondition {
  readonly caps: readonly string[];
  readonly arches: readonly string[];
  readonly minKernel: string;
}

const EPERM = 1;

const ACTIONS: Readonly<Record<string, SeccompAction>> = {
  SCMP_ACT_ALLOW: "allow",
  SCMP_ACT_ERRNO: "errno",
  SCMP_ACT_KILL: "kill",
  SCMP_ACT_KILL_THREAD: "kill",
  SCMP_ACT_KILL_PROCESS: "kill",
  SCMP_ACT_LOG: "log",
};

/** Throws INVALID_INPUT naming the field. */
export function readSeccompProfile(place: Place): SeccompProfile {
  const flags = items(field(place, "flags")).map(text);
  const strange = flags.find((name) => !/^SECCOMP_FILTER_FLAG_(LOG|SPEC_ALLOW|TSYNC)$/.test(name));
  if (strange !== undefined) throw complaint(field(place, "flags"), `unknown flag "${strange}"`);
  return {
    defaultAction: action(field(place, "defaultAction")),
    defaultErrno: errno(field(place, "defaultErrnoRet")) ?? EPERM,
    architectures: architectures(place),
    rules: items(field(place, "syscalls")).map(rule),
  };
}

function architectures(place: Place): string[] {
  const listed = items(field(place, "architectures")).map(text);
  const mapped = items(field(place, "archMap")).flatMap((item) => [
    text(field(item, "architecture")),
    ...items(field(item, "subArchitectures")).map(text),
  ]);
  const all = [...listed, ...mapped];
  const strange = all.find((name) => !/^SCMP_ARCH_[A-Z0-9_]+$/.test(name));
  if (strange !== undefined) throw complaint(place, `unknown architecture "${strange}"`);
  return all;
}

function rule(place: Place): SeccompRule {
  const single = text(field(place, "name"));
  const names = [...(single === "" ? [] : [single]), ...items(field(place, "names")).map(text)];
  if (names.length === 0) throw complaint(place, "names must be non-empty");
  const odd = names.find((name) => !/^[a-zA-Z0-9_]+$/.test(name));
  if (odd !== undefined) throw complaint(place, `"${odd}" is not the name of a system call`);
  return {
    names,
    action: action(field(place, "action")),
    errno: errno(field(place, "errnoRet")) ?? EPERM,
    args: items(field(place, "args")).map(argument),
    includes: condition(field(place, "includes")),
    excludes: condition(field(place, "excludes")),
  };
}

function action(place: Place): SeccompAction {
  const name = text(place);
  const known = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (known === undefined)
    throw complaint(place, `unknown action "${name}", expected ${Object.keys(ACTIONS).join(", ")}`);
  return known;
}

function errno(place: Place): number | undefined {
  return optionalInteger(place, 0, 4095);
}

function argument(place: Place): SeccompArgument {
  const op = text(field(place, "op"));
  if (!/^SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/.test(op))
    throw complaint(field(place, "op"), `unknown comparison "${op}"`);
  return {
    index: optionalInteger(field(place, "index"), 0, 5) ?? 0,
    value: optionalInteger(field(place, "value"), 0, Number.MAX_SAFE_INTEGER) ?? 0,
    valueTwo: optionalInteger(field(place, "valueTwo"), 0, Number.MAX_SAFE_INTEGER) ?? 0,
    op,
  };
}

function condition(place: Place): SeccompCondition {
  const minKernel = text(field(place, "minKernel"));
  if (minKernel !== "" && !/^[0-9]{1,5}\.[0-9]{1,5}/.test(minKernel))
    throw complaint(field(place, "minKernel"), `expected a version such as 4.8, got "${minKernel}"`);
  return {
    caps: items(field(place, "caps")).map(text),
    arches: items(field(place, "arches")).map(text),
    minKernel,
  };
}
