/**
 * The units of programs that run beside an app, as text: what passes its output on, and what records its denied calls.
 * Pure.
 */

import type { SandboxOptions } from "./sandbox.ts";
import { unitText } from "./unit-text.ts";

/**
 * What an app of the journal alone opens as /dev/stdout or /dev/stderr (dev.ts): its own are sockets, which cannot be
 * opened by name. What is written there goes to the journal through cat(1), which systemd starts when something is.
 */
export function outputFifo(app: string): string {
  return `/rkt/output/${app}`;
}

export function outputSocket(name: string): string {
  return unitText([
    ...["[Unit]", "DefaultDependencies=no", "Conflicts=halt.target", "Before=halt.target", ""],
    ...["[Socket]", `ListenFIFO=${outputFifo(name)}`, "SocketMode=0622", "DirectoryMode=0755"],
  ]);
}

export function outputService(name: string): string {
  return unitText([
    ...["[Unit]", "DefaultDependencies=no", "Conflicts=halt.target", "Before=halt.target"],
    ...["Wants=systemd-journald.service", "After=systemd-journald.service", "StartLimitIntervalSec=0", ""],
    ...[
      "[Service]",
      "ExecStart=/bin/cat",
      "StandardInput=socket",
      "StandardOutput=journal",
      `SyslogIdentifier=${name}`,
    ],
  ]);
}

export function recorderName(app: string): string {
  return `seccomp-log-${app}.service`;
}

/**
 * Counts what the app's filter would deny, for as long as the app runs; then it says so on the pod's console, or in its
 * journal.
 */
export function recorderService(app: string, { journal }: SandboxOptions): string {
  const error = { no: "file:/dev/console", too: "journal+console", only: "journal" }[journal];
  return besideApp([
    `ExecStart=/usr/lib/rkt/seccomp-log --record ${app}`,
    `StandardError=${error}`,
    "TTYPath=/run/no-terminal",
    "CapabilityBoundingSet=",
  ]);
}

/** Runs for as long as the app does, and a moment longer: what the app wrote last is passed on. */
export function ioMuxService(app: string): string {
  return besideApp([
    `EnvironmentFile=/rkt/iottymux/${app}/env`,
    `ExecStart=/usr/lib/rkt/iomux ${app}`,
    "CapabilityBoundingSet=CAP_DAC_OVERRIDE",
  ]);
}

/** A service with a program of rkt's that runs as long as an app does. */
function besideApp(service: readonly string[]): string {
  return unitText([
    ...["[Unit]", "DefaultDependencies=no", "Conflicts=halt.target", "Before=halt.target", "StopWhenUnneeded=yes", ""],
    ...["[Service]", "Type=notify", ...service, "NoNewPrivileges=yes", "TasksMax=infinity"],
  ]);
}
