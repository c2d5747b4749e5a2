/**
 * What keeps an app (and a command that was entered into it) apart: its file systems, capabilities, system calls, devices, limits. Pure; lines of
 * systemd.exec(5) and systemd.resource-control(5). systemd resolves the targets of mounts inside the app's root by itself.
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type App, apparmorProfile, capabilitySets, type Isolator, noNewPrivileges } from "../../src/spec/appc/mod.ts";
import type { Device } from "../common/volumes.ts";
import { limitDirectives, type NamedLimit } from "./caller-limits.ts";
import { hasLimits, sliceName } from "./limits.ts";
import { filterLines } from "./seccomp.ts";
import { lineText } from "./unit-text.ts";

export interface Sandbox {
  readonly name: string;
  readonly app: App;
  readonly uid: number;
  /** Mounted before (app-mounts.ts). */
  readonly volumes: readonly SandboxVolume[];
  /** Its filter asks instead of denying, and is installed later (log-filter.ts). */
  readonly logged: boolean;
}

export interface SandboxVolume {
  readonly target: string;
  readonly readOnly: boolean;
  readonly open: { readonly device: Device | undefined };
}

export interface SandboxOptions {
  readonly disableCapabilities: boolean;
  readonly disablePaths: boolean;
  readonly disableSeccomp: boolean;
  /** The pod has a user namespace. */
  readonly privateUsers: boolean;
  /** "too": apps write to the pod's journal, which copies to the console; "only": to the journal; "no": straight to the console, and there is no journal. */
  readonly journal: "no" | "too" | "only";
  /** The running kernel's release. */
  readonly kernel: string;
  readonly limits: readonly NamedLimit[];
}

/** The [Service] lines. Throws INVALID_INPUT for names that are no capability or system call. */
export function sandboxLines(sandbox: Sandbox, options: SandboxOptions): string[] {
  return [
    `RootDirectory=/opt/stage2/${sandbox.name}/rootfs`,
    "MountAPIVFS=no",
    "MountFlags=shared",
    `EnvironmentFile=/rkt/env/${sandbox.name}`,
    ...fileSystems(sandbox, options),
    ...devices(sandbox, options),
    ...rights(sandbox, options),
    ...limitDirectives(options.limits),
    // systemd starts its services with SIGPIPE ignored, a shell or another engine does not: `yes | head -1` in an app would not end.
    "IgnoreSIGPIPE=no",
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

/**
 * Where syslog(3) (by /dev/log, dev.ts) and sd_journal_send(3) write to. Not the third, for streams: it lets an app's root say which app a line is from
 * (systemd, journald-stream.c).
 */
export const JOURNAL_SOCKETS = ["dev-log", "socket"].map((name) => `/run/systemd/journal/${name}`);

function fileSystems({ volumes }: Sandbox, options: SandboxOptions): string[] {
  const covers = (path: string) => volumes.some(({ target }) => target === path || target.startsWith(`${path}/`));
  const binds = [
    ...(covers("/proc") ? [] : ["/proc:/proc:rbind"]),
    // Without what is mounted below it: the pod's cgroups are writable for its systemd, and none of an app's business.
    // In a user namespace what is mounted below cannot be left out (mount_namespaces(7), "locked together"): there app-mounts.ts mounts /sys.
    ...(covers("/sys") || options.privateUsers ? [] : ["/sys:/sys:norbind"]),
    // The pod's, for whoever writes to it by name (rkt 1.x): without it a root's words would land in a file.
    ...(covers("/dev/console") ? [] : ["/dev/console:/dev/console:norbind"]),
  ];
  const hidden = options.disablePaths ? [] : HIDDEN.filter((path) => !covers(path)).map((path) => `-+${path}`);
  const sockets =
    options.journal === "no"
      ? []
      : JOURNAL_SOCKETS.filter((path) => !volumes.some(({ target }) => path.startsWith(`${target}/`)));
  return [
    ...(binds.length === 0 ? [] : [`BindPaths=${binds.join(" ")}`]),
    ...(sockets.length === 0
      ? []
      : [`BindReadOnlyPaths=${sockets.map((path) => `${path}:${path}:norbind`).join(" ")}`]),
    ...(hidden.length === 0 ? [] : [`InaccessiblePaths=${hidden.join(" ")}`]),
  ];
}

// --- devices ---

/**
 * An app's root may make device nodes (CAP_MKNOD is in rkt's default set); the policy keeps it from opening the host's disks through them. By number: names
 * would be looked up in the pod's own /dev.
 */
function devices(sandbox: Sandbox, options: SandboxOptions): string[] {
  if (options.disablePaths) return [];
  const allowed = sandbox.volumes.flatMap(({ readOnly, open: { device } }) =>
    device === undefined
      ? []
      : [
          `DeviceAllow=/dev/${device.type === "b" ? "block" : "char"}/${device.major}:${device.minor} ${readOnly ? "r" : "rw"}`,
        ],
  );
  return ["DevicePolicy=closed", ...allowed, "DeviceAllow=/dev/char/10:200 rw"];
}

// --- rights ---

/** What an app may do as root unless its image or the operator says otherwise (rkt 1.x). */
export const DEFAULT_CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "KILL", "MKNOD", "NET_RAW", "NET_BIND_SERVICE"],
  ...["SETUID", "SETGID", "SETPCAP", "SETFCAP", "SYS_CHROOT"],
].map((name) => `CAP_${name}`);

function rights({ name, app, uid, logged }: Sandbox, options: SandboxOptions): string[] {
  const lines: string[] = [];
  const capabilities = boundingSet(app.isolators);
  if (!options.disableCapabilities) lines.push(`CapabilityBoundingSet=${capabilities.join(" ")}`);
  const filter = options.disableSeccomp
    ? []
    : filterLines({ app: name, isolators: app.isolators, capabilities, kernel: options.kernel });
  if (!logged) lines.push(...filter);
  // A process without privileges may only be filtered when it can never gain any (seccomp(2)).
  if (noNewPrivileges(app.isolators) || (filter.length > 0 && (uid !== 0 || logged))) lines.push("NoNewPrivileges=yes");
  const profile = apparmorProfile(app.isolators);
  if (profile !== undefined) lines.push(`AppArmorProfile=${lineText(profile)}`);
  return lines;
}

/** A retain set replaces the default, a remove set is taken from it. Throws INVALID_INPUT. */
export function boundingSet(isolators: readonly Isolator[]): string[] {
  const { retain, remove } = capabilitySets(isolators);
  const without = new Set((remove ?? []).map(capability));
  return (retain ?? DEFAULT_CAPABILITIES).map(capability).filter((name) => !without.has(name));
}

/** capabilities(7), Linux 6.1: what systemd 252 does not know ends the pod before it starts. */
const CAPABILITIES = new Set(
  [
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST",
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE",
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG",
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
  ].flatMap((line) => line.split(" ")),
);

/** A name becomes a word of a unit file: nothing but these characters may pass. */
function capability(name: string): string {
  if (name.startsWith("CAP_") && CAPABILITIES.has(name.slice("CAP_".length))) return name;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot use ${quoted(name)} as a capability: expected a name as in capabilities(7)`,
  );
}
