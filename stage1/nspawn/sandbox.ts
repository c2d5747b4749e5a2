/**
 * What keeps an app (and a command that was entered into it) apart: its file systems, capabilities, system calls, devices, limits. Pure; lines of
 * systemd.exec(5) and systemd.resource-control(5). systemd resolves the targets of mounts inside the app's root by itself.
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import {
  type App,
  capabilitySets,
  cpuLimitMilli,
  cpuShares,
  type Isolator,
  memoryLimit,
  noNewPrivileges,
  oomScoreAdj,
  seccompFilter,
} from "../../src/spec/appc/mod.ts";
import { DEFAULT_CALLS, SECCOMP_SETS } from "./seccomp-sets.ts";
import { pathWord, slicePart } from "./unit-text.ts";

export interface Sandbox {
  readonly name: string;
  readonly app: App;
  readonly uid: number;
  readonly readOnlyRoot: boolean;
  readonly binds: readonly { readonly source: string; readonly target: string; readonly readOnly: boolean }[];
  /** Paths that stay writable under a read-only root. */
  readonly writable: readonly string[];
}

export interface SandboxOptions {
  readonly disableCapabilities: boolean;
  readonly disablePaths: boolean;
  readonly disableSeccomp: boolean;
}

/** The [Service] lines. Throws INVALID_INPUT for names that are no capability or system call. */
export function sandboxLines(sandbox: Sandbox, options: SandboxOptions): string[] {
  return [
    `RootDirectory=/opt/stage2/${sandbox.name}/rootfs`,
    "MountAPIVFS=no",
    "MountFlags=shared",
    `EnvironmentFile=/rkt/env/${sandbox.name}`,
    ...fileSystems(sandbox, options),
    ...rights(sandbox, options),
    // Without it systemd limits each app to 15 % of the host's processes, now that it may write the controller.
    "TasksMax=infinity",
    ...(hasLimits(sandbox.app) ? [`Slice=${sliceName(sandbox.name)}`] : []),
  ];
}

// --- file systems ---

/**
 * Kernel interfaces that tell about the host (rkt 1.x's list). `+`: relative to the app's root; `-`: where it exists. What rkt 1.x made read-only
 * besides, /proc/bus, /proc/sys, /proc/sysrq-trigger and /sys, systemd-nspawn has made so for the whole pod; to do it again for an app costs a millisecond a mount.
 */
const HIDDEN = [
  ...["/sys/firmware", "/sys/fs", "/sys/hypervisor", "/sys/module", "/sys/power", "/proc/config.gz", "/proc/kallsyms"],
  ...["/proc/sched_debug", "/proc/kcore", "/proc/kmem", "/proc/mem"],
];

function fileSystems(sandbox: Sandbox, options: SandboxOptions): string[] {
  // /sys without what is mounted below it: the pod's cgroups are writable for its systemd, and none of an app's business.
  const lines = ["BindPaths=/proc:/proc:rbind /sys:/sys:norbind /dev:/dev:rbind"];
  for (const { source, target, readOnly } of sandbox.binds) {
    lines.push(`${readOnly ? "BindReadOnlyPaths" : "BindPaths"}=${pathWord(source)}:${pathWord(target)}:rbind`);
  }
  if (sandbox.readOnlyRoot) {
    lines.push("ReadOnlyPaths=+/");
    for (const target of ["/dev", "/proc", "/sys", ...sandbox.writable])
      lines.push(`ReadWritePaths=${pathWord(`-+${target}`)}`);
  }
  if (!options.disablePaths) lines.push(`InaccessiblePaths=${HIDDEN.map((one) => `-+${one}`).join(" ")}`);
  return lines;
}

// --- rights ---

/** What an app may do as root unless its image or the operator says otherwise (rkt 1.x). */
export const DEFAULT_CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "KILL", "MKNOD", "NET_RAW", "NET_BIND_SERVICE"],
  ...["SETUID", "SETGID", "SETPCAP", "SETFCAP", "SYS_CHROOT"],
].map((name) => `CAP_${name}`);

function rights({ app, uid }: Sandbox, options: SandboxOptions): string[] {
  const lines: string[] = ["DevicePolicy=closed"];
  if (!options.disableCapabilities) lines.push(`CapabilityBoundingSet=${boundingSet(app.isolators).join(" ")}`);
  const filter = options.disableSeccomp ? [] : filterLines(app.isolators);
  lines.push(...filter);
  // A process without privileges may only be filtered when it can never gain any (seccomp(2)).
  if (noNewPrivileges(app.isolators) || (filter.length > 0 && uid !== 0)) lines.push("NoNewPrivileges=yes");
  return lines;
}

/** A retain set replaces the default, a remove set is taken from it. Throws INVALID_INPUT. */
export function boundingSet(isolators: readonly Isolator[]): string[] {
  const { retain, remove } = capabilitySets(isolators);
  const without = new Set((remove ?? []).map(capability));
  return (retain ?? DEFAULT_CAPABILITIES).map(capability).filter((name) => !without.has(name));
}

/** A name becomes a word of a unit file: nothing but these characters may pass. */
function capability(name: string): string {
  if (/^CAP_[A-Z_]+$/.test(name)) return name;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot use ${quoted(name)} as a capability: expected a name as in capabilities(7)`,
  );
}

/** Without an isolator: rkt's default set, and EPERM for the rest, not a signal: programs that try a newer call and fall back go on working. */
function filterLines(isolators: readonly Isolator[]): string[] {
  const filter = seccompFilter(isolators);
  if (filter === undefined || (filter.mode === "remove" && filter.set.includes("@appc.io/empty"))) {
    return [callLine("", DEFAULT_CALLS), `SystemCallErrorNumber=${filter?.errno || "EPERM"}`];
  }
  if (filter.mode === "retain" && filter.set.includes("@appc.io/all")) return [];
  const line = callLine(filter.mode === "remove" ? "~" : "", filter.set.flatMap(callSet));
  return filter.errno === "" ? [line] : [line, `SystemCallErrorNumber=${filter.errno}`];
}

function callLine(mode: "" | "~", calls: readonly string[]): string {
  // An empty list would switch the filter off.
  return `SystemCallFilter=${mode}${(calls.length === 0 ? ["@default"] : [...new Set(calls)]).join(" ")}`;
}

function callSet(word: string): readonly string[] {
  if (/^[a-zA-Z0-9_]+$/.test(word)) return [word];
  const set = SECCOMP_SETS.get(word);
  if (set === undefined)
    throw new RktError("INVALID_INPUT", `Cannot use ${quoted(word)} as a system call: there is no such set`);
  return set;
}

// --- limits ---

/** An app with limits has a slice, which carries them: what is entered into the app comes under the same ones. */
export function sliceName(app: string): string {
  return `app-${slicePart(app)}.slice`;
}

export function hasLimits(app: App): boolean {
  return limitLines(app).length > 0;
}

/** The [Slice] lines. */
export function limitLines({ isolators }: App): string[] {
  const memory = memoryLimit(isolators);
  const cpu = cpuLimitMilli(isolators);
  const shares = cpuShares(isolators);
  return [
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`]),
    ...(cpu === undefined ? [] : [`CPUQuota=${cpu / 10}%`]),
    ...(shares === undefined ? [] : [`CPUShares=${shares}`]),
  ];
}

export function oomScoreLines({ isolators }: App): string[] {
  const score = oomScoreAdj(isolators);
  return score === undefined ? [] : [`OOMScoreAdjust=${score}`];
}
