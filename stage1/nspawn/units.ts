/** The units of a pod, as text. Pure: everything was resolved before (paths, ids, environment). Man pages: systemd.service(5), systemd.exec(5), systemd.resource-control(5). */

import type { App, RuntimeApp } from "../../src/spec/appc/mod.ts";
import {
  capabilitySets,
  cpuLimitMilli,
  cpuShares,
  memoryLimit,
  noNewPrivileges,
  oomScoreAdj,
  seccompFilter,
} from "../../src/spec/appc/mod.ts";
import type { Identity } from "../common/identity.ts";

export interface AppUnit {
  readonly runtimeApp: RuntimeApp;
  readonly app: App;
  readonly identity: Identity;
  readonly binary: string;
  /** Directives BindPaths=/BindReadOnlyPaths= values: volumes and resolver files. */
  readonly binds: readonly { readonly source: string; readonly target: string; readonly readOnly: boolean }[];
  /** Paths that stay writable under a read-only root. */
  readonly writable: readonly string[];
}

export interface UnitOptions {
  /** How many apps the pod has: the last that ends, ends the pod. */
  readonly apps: number;
  readonly interactive: boolean;
  /** Apps write to the pod's journal, which copies to the console; else straight to the console. */
  readonly journal: boolean;
  readonly disableCapabilities: boolean;
  readonly disablePaths: boolean;
  readonly disableSeccomp: boolean;
}

/** The target that systemd starts: every app. */
export function defaultTarget(apps: readonly string[]): string {
  const services = apps.map((app) => `${app}.service`).join(" ");
  return `[Unit]\nDescription=rkt pod\nDefaultDependencies=no\nWants=${services}\n`;
}

export function appUnit(unit: AppUnit, options: UnitOptions): string {
  const { runtimeApp, app } = unit;
  const name = runtimeApp.name;
  const lines = ["[Unit]", `Description=Application=${name} Image=${escapeSpecifiers(runtimeApp.image.name ?? "")}`];
  lines.push("DefaultDependencies=no", "Conflicts=halt.target", "Before=halt.target pod-exit.service");
  if (options.journal) lines.push("Wants=systemd-journald.service", "After=systemd-journald.service");
  if (needsControllers(app)) lines.push("Requires=cgroups-writable.service", "After=cgroups-writable.service");
  if (options.apps === 1) lines.push("SuccessAction=exit-force", "FailureAction=exit-force");
  lines.push("", "[Service]", "Restart=no", "TimeoutStartSec=0", `SyslogIdentifier=${name}`);
  for (const handler of app.eventHandlers) {
    const directive = handler.name === "pre-start" ? "ExecStartPre" : "ExecStopPost";
    lines.push(`${directive}=${commandLine(handler.exec)}`);
  }
  const [, ...args] = app.exec;
  lines.push(`ExecStart=${commandLine([unit.binary, ...args])}`);
  lines.push(
    `ExecStop=+/usr/lib/rkt/app-stopping ${name}`,
    `ExecStopPost=+/usr/lib/rkt/app-ended ${name} ${options.apps}`,
  );
  lines.push(
    `RootDirectory=/opt/stage2/${name}/rootfs`,
    "RootDirectoryStartOnly=yes",
    "MountAPIVFS=no",
    "MountFlags=shared",
  );
  lines.push(`WorkingDirectory=${escapeSpecifiers(app.workingDirectory || "/")}`, `EnvironmentFile=/rkt/env/${name}`);
  lines.push(`User=${unit.identity.uid}`, `Group=${unit.identity.gid}`);
  if (unit.identity.groups.length > 0) lines.push(`SupplementaryGroups=${unit.identity.groups.join(" ")}`);
  lines.push(...stdio(options), ...fileSystems(unit, options), ...rights(unit, options), ...resources(app));
  return `${lines.join("\n")}\n`;
}

function stdio({ interactive, journal }: UnitOptions): string[] {
  if (interactive) return ["StandardInput=tty", "StandardOutput=tty", "StandardError=tty", "TTYPath=/dev/console"];
  const output = journal ? "journal+console" : "tty";
  return ["StandardInput=null", `StandardOutput=${output}`, `StandardError=${output}`, "TTYPath=/dev/console"];
}

/** Kernel interfaces that tell about the host or change it (rkt 1.x's lists). `+`: relative to the app's root; `-`: where it exists. */
const HIDDEN = [
  "/sys/firmware",
  "/sys/fs",
  "/sys/hypervisor",
  "/sys/module",
  "/sys/power",
  "/proc/config.gz",
  "/proc/kallsyms",
  "/proc/sched_debug",
  "/proc/kcore",
  "/proc/kmem",
  "/proc/mem",
];
const READ_ONLY = [
  "/proc/bus",
  "/proc/sys/kernel/core_pattern",
  "/proc/sys/kernel/modprobe",
  "/proc/sys/vm/panic_on_oom",
  "/proc/sysrq-trigger",
  "/sys/block",
  "/sys/bus",
  "/sys/class",
  "/sys/dev",
  "/sys/devices",
  "/sys/kernel",
];

function fileSystems(unit: AppUnit, options: UnitOptions): string[] {
  const lines = ["BindPaths=/proc:/proc:rbind /sys:/sys:rbind /dev:/dev:rbind"];
  for (const bind of unit.binds) {
    lines.push(`${bind.readOnly ? "BindReadOnlyPaths" : "BindPaths"}=${path(bind.source)}:${path(bind.target)}:rbind`);
  }
  if (unit.runtimeApp.readOnlyRootFs) {
    lines.push("ReadOnlyPaths=+/");
    for (const target of ["/dev", "/proc", "/sys", ...unit.writable]) lines.push(`ReadWritePaths=-+${path(target)}`);
  }
  if (!options.disablePaths) {
    lines.push(
      `InaccessiblePaths=${HIDDEN.map((one) => `-+${one}`).join(" ")}`,
      `ReadOnlyPaths=${READ_ONLY.map((one) => `-+${one}`).join(" ")}`,
    );
  }
  return lines;
}

/** What an app may do as root unless its image or the operator says otherwise (rkt 1.x). */
export const DEFAULT_CAPABILITIES = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "KILL",
  "MKNOD",
  "NET_RAW",
  "NET_BIND_SERVICE",
  "SETUID",
  "SETGID",
  "SETPCAP",
  "SETFCAP",
  "SYS_CHROOT",
].map((name) => `CAP_${name}`);

/** What the default filter lets through: systemd's set for services and what Docker's default allows beside it. */
const DEFAULT_CALLS = [
  "@system-service",
  "chroot",
  "mknod",
  "mknodat",
  "name_to_handle_at",
  "pidfd_open",
  "pidfd_send_signal",
  "rseq",
  "seccomp",
  "clone3",
  "close_range",
  "openat2",
  "faccessat2",
  "epoll_pwait2",
];

function rights(unit: AppUnit, options: UnitOptions): string[] {
  const { app, identity } = unit;
  const lines: string[] = ["DevicePolicy=closed"];
  const { retain, remove } = capabilitySets(app.isolators);
  if (!options.disableCapabilities) {
    if (remove !== undefined)
      lines.push(`CapabilityBoundingSet=${DEFAULT_CAPABILITIES.filter((name) => !remove.includes(name)).join(" ")}`);
    else lines.push(`CapabilityBoundingSet=${(retain ?? DEFAULT_CAPABILITIES).join(" ")}`);
  }
  const filter = options.disableSeccomp ? [] : seccomp(app);
  lines.push(...filter);
  if (noNewPrivileges(app.isolators) || (filter.length > 0 && identity.uid !== 0)) lines.push("NoNewPrivileges=yes");
  return lines;
}

function seccomp(app: App): string[] {
  const filter = seccompFilter(app.isolators);
  if (filter === undefined || (filter.mode === "remove" && filter.set.includes("@appc.io/empty"))) {
    // EPERM, not a signal: programs that try a newer call and fall back go on working.
    return [`SystemCallFilter=${DEFAULT_CALLS.join(" ")}`, "SystemCallErrorNumber=EPERM"];
  }
  if (filter.mode === "retain" && filter.set.includes("@appc.io/all")) return [];
  const calls = filter.set.flatMap(callSet);
  const lines = [`SystemCallFilter=${filter.mode === "remove" ? "~" : ""}${calls.join(" ")}`];
  if (filter.errno !== "") lines.push(`SystemCallErrorNumber=${filter.errno}`);
  return lines;
}

const BLACKLIST = [
  "@clock",
  "@cpu-emulation",
  "@debug",
  "@module",
  "@mount",
  "@obsolete",
  "@raw-io",
  "@reboot",
  "@swap",
];

/** rkt's, Docker's and systemd's names for sets of calls. */
function callSet(word: string): string[] {
  if (/^@(docker|rkt|systemd)\/default-whitelist$/.test(word)) return DEFAULT_CALLS;
  if (/^@(docker|rkt)\/default-blacklist$/.test(word)) return BLACKLIST;
  if (word.startsWith("@systemd/")) return [`@${word.slice("@systemd/".length)}`];
  return word === "@appc.io/empty" || word === "@appc.io/all" ? [] : [word];
}

function needsControllers(app: App): boolean {
  return (
    memoryLimit(app.isolators) !== undefined ||
    cpuLimitMilli(app.isolators) !== undefined ||
    cpuShares(app.isolators) !== undefined
  );
}

function resources(app: App): string[] {
  const lines: string[] = [];
  const memory = memoryLimit(app.isolators);
  const cpu = cpuLimitMilli(app.isolators);
  const shares = cpuShares(app.isolators);
  const score = oomScoreAdj(app.isolators);
  if (memory !== undefined) lines.push(`MemoryMax=${memory}`, `MemoryLimit=${memory}`);
  if (cpu !== undefined) lines.push(`CPUQuota=${cpu / 10}%`);
  if (shares !== undefined) lines.push(`CPUShares=${shares}`);
  if (score !== undefined) lines.push(`OOMScoreAdjust=${score}`);
  return lines;
}

/** A command as systemd reads it: every word quoted, `%` and `$` doubled, so that no word of an image is taken for a specifier, variable or prefix. */
export function commandLine(words: readonly string[]): string {
  return words
    .map(
      (word) =>
        `"${escapeSpecifiers(word).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("$", "$$$$").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`,
    )
    .join(" ");
}

function path(text: string): string {
  return escapeSpecifiers(text).replaceAll("\\", "\\\\").replaceAll(":", "\\:").replaceAll(" ", "\\x20");
}

/** systemd expands `%n` and friends; a line break would start another directive. */
function escapeSpecifiers(text: string): string {
  return text.replaceAll("%", "%%").replace(/[\r\n]/g, (c) => (c === "\n" ? "\n" : " "));
}

/** Lines of the environment file: values in double quotes, as systemd.exec(5) reads them. */
export function environmentFile(environment: ReadonlyMap<string, string>): string {
  return [...environment].map(([name, value]) => `${name}="${value.replace(/["\\$`]/g, (c) => `\\${c}`)}"\n`).join("");
}
