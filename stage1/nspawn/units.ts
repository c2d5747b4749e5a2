/**
 * The units of a pod, as text. Pure: everything was resolved before (paths, ids, environment). What is the same in every pod lies in rootfs/: how an app's end
 * is recorded (app-succeeded@, app-failed@), how the pod ends (halt.target, pod-exit.service). Man pages: systemd.unit(5), systemd.service(5).
 */

import type { App, RuntimeApp } from "../../src/spec/appc/mod.ts";
import type { Identity } from "../common/identity.ts";
import { type Stream, streamMode } from "../common/stdio.ts";
import { INPUT_FIFO } from "./input.ts";
import type { IoMux } from "./iomux.ts";
import { hasLimits, limitLines, oomScoreLines, sliceName } from "./limits.ts";
import { type Sandbox, type SandboxOptions, sandboxLines } from "./sandbox.ts";
import type { AppSocket } from "./sockets.ts";
import { commandLine, lineText } from "./unit-text.ts";

export interface AppUnit {
  readonly runtimeApp: RuntimeApp;
  readonly app: App;
  readonly identity: Identity;
  readonly binary: string;
  readonly volumes: Sandbox["volumes"];
  /** Socket-activated ports. */
  readonly sockets: readonly AppSocket[];
  /** What stands between the app's streams and who attaches to them. */
  readonly mux: IoMux | undefined;
}

/** "terminal": the console, for input and output. "fifo": input.ts fills it. */
export type AppInput = "none" | "terminal" | "fifo";

export interface UnitOptions extends SandboxOptions {
  readonly input: AppInput;
  /** Apps write to the pod's journal, which copies to the console; else straight to the console. */
  readonly journal: boolean;
  /** The app is started and stopped while the pod runs on. */
  readonly mutable: boolean;
  /** Device nodes, in the pod's own root, of the host's block devices. */
  readonly disks: readonly string[];
}

/** The unit files of one app by name. Throws INVALID_INPUT for what cannot stand in a unit. */
export function appUnits(unit: AppUnit, options: UnitOptions): Map<string, string> {
  const name = unit.runtimeApp.name;
  const files = new Map([
    [`${name}.service`, appService(unit, options)],
    [`enter-${name}@.service`, enterService(unit, options)],
  ]);
  if (unit.sockets.length > 0) {
    files.set(`${name}.socket`, appSocket(unit));
    // systemd offers the descriptors that it was started with to the units it knows before its first job: what the root slice refers to (seen with 252).
    files.set(`-.slice.d/${name}.conf`, text(["[Unit]", `Wants=${name}.socket`]));
  }
  if (hasLimits(unit.app)) {
    const limits = limitLines(unit.app, options.disks);
    files.set(sliceName(name), text(["[Unit]", "DefaultDependencies=no", "", "[Slice]", ...limits]));
  }
  if (unit.mux !== undefined) files.set(`iomux-${name}.service`, ioMuxService(name));
  return files;
}

/** The target that systemd starts: every app; in a pod that apps are added to later, the mark that it is ready for them. */
export function defaultTarget(apps: readonly string[], mutable = false): string {
  const services = [...apps.map((app) => `${app}.service`), ...(mutable ? ["supervisor-ready.service"] : [])].join(" ");
  return text(["[Unit]", "Description=rkt pod", "DefaultDependencies=no", `Wants=${services}`]);
}

function appService(unit: AppUnit, options: UnitOptions): string {
  const { runtimeApp, app, identity } = unit;
  const name = runtimeApp.name;
  const handlers = app.eventHandlers.map(
    (handler) => `${handler.name === "pre-start" ? "ExecStartPre" : "ExecStopPost"}=${commandLine(handler.exec, true)}`,
  );
  return text([
    "[Unit]",
    `Description=${lineText(`Application=${name} Image=${runtimeApp.image.name ?? ""}`)}`,
    "DefaultDependencies=no",
    "Conflicts=halt.target",
    "Before=halt.target pod-exit.service",
    // Two units: where one has both triggers, systemd does not pass the app's status on ("multiple trigger source candidates", seen with 252).
    `OnSuccess=app-succeeded@${name}.service`,
    `OnFailure=app-failed@${name}.service`,
    ...startedBefore(identity, options),
    ...(unit.sockets.length > 0 ? [`Requires=${name}.socket`, `After=${name}.socket`] : []),
    ...(unit.mux === undefined ? [] : [`Requires=iomux-${name}.service`, `After=iomux-${name}.service`]),
    "",
    "[Service]",
    // Whoever starts it later is told when its program cannot be executed.
    ...(options.mutable ? ["Type=exec"] : []),
    "Restart=no",
    "TimeoutStartSec=0",
    `SyslogIdentifier=${name}`,
    // Handlers run as root (rkt 1.x), but in the app's root and with its limits.
    ...handlers,
    `ExecStart=${commandLine([unit.binary, ...app.exec.slice(1)])}`,
    `WorkingDirectory=${lineText(app.workingDirectory || "/")}`,
    ...identityLines(identity),
    ...stdio(unit, options),
    ...oomScoreLines(app),
    ...sandboxLines(sandboxOf(unit), options),
  ]);
}

/** All sockets in one unit: that keeps their order. */
function appSocket({ runtimeApp: { name }, sockets }: AppUnit): string {
  return text([
    "[Unit]",
    "DefaultDependencies=no",
    "Conflicts=halt.target",
    "Before=halt.target",
    "",
    "[Socket]",
    `Service=${name}.service`,
    "BindIPv6Only=both",
    ...sockets.map(({ directive, address }) => `${directive}=${address}`),
  ]);
}

/** What an app needs besides itself. Nothing for root on a console: a process more at the start is a twentieth of it. */
function startedBefore({ uid }: Identity, { journal, input }: UnitOptions): string[] {
  const units = [
    ...(journal ? ["systemd-journald.service"] : []),
    // With a terminal for its input systemd gives the app the console itself.
    ...(uid !== 0 && input !== "terminal" ? ["console-access.service"] : []),
  ];
  return units.length === 0 ? [] : [`Wants=${units.join(" ")}`, `After=${units.join(" ")}`];
}

/** A command entered into the app, with the app's rights: what runs, and on which terminal or files, is said by a drop-in of the instance (enter.ts). */
function enterService(unit: AppUnit, options: UnitOptions): string {
  return text([
    "[Unit]",
    "DefaultDependencies=no",
    "Conflicts=halt.target",
    "Before=halt.target",
    "CollectMode=inactive-or-failed",
    "OnSuccess=command-succeeded@%i.service",
    "OnFailure=command-failed@%i.service",
    "",
    "[Service]",
    "Type=exec",
    `WorkingDirectory=${lineText(unit.app.workingDirectory || "/")}`,
    ...identityLines(unit.identity),
    ...oomScoreLines(unit.app),
    ...sandboxLines(sandboxOf(unit), options),
  ]);
}

function identityLines({ uid, gid, groups }: Identity): string[] {
  return [`User=${uid}`, `Group=${gid}`, ...(groups.length > 0 ? [`SupplementaryGroups=${groups.join(" ")}`] : [])];
}

function sandboxOf(unit: AppUnit): Sandbox {
  return {
    name: unit.runtimeApp.name,
    app: unit.app,
    uid: unit.identity.uid,
    volumes: unit.volumes,
  };
}

function stdio({ runtimeApp: app, mux }: AppUnit, { input, journal }: UnitOptions): string[] {
  if (input === "terminal")
    return ["StandardInput=tty", "StandardOutput=tty", "StandardError=tty", "TTYPath=/dev/console"];
  const directory = `/rkt/iottymux/${app.name}`;
  const output = (stream: Stream) => {
    if (mux?.tty.includes(stream)) return "tty";
    if (mux?.streams.includes(stream)) return `file:${directory}/stage2-${stream}`;
    if (streamMode(app, stream) === "null") return "null";
    // "tty" would be the same descriptor, but at the unit's end systemd sets the console's mode back, and the other apps' users could no longer open it by
    // name (console-access.service). For the journal's copy on the console it does that to TTYPath: a file that is not there.
    return journal && input === "none" ? "journal+console" : "file:/dev/console";
  };
  const source = () => {
    if (mux?.tty.includes("stdin")) return "tty-force";
    if (mux?.streams.includes("stdin")) return `file:${directory}/stage2-stdin`;
    return streamMode(app, "stdin") !== "null" && input === "fifo" ? `file:${INPUT_FIFO}` : "null";
  };
  return [
    `StandardInput=${source()}`,
    `StandardOutput=${output("stdout")}`,
    `StandardError=${output("stderr")}`,
    ...((mux?.tty.length ?? 0) > 0 ? [`TTYPath=${directory}/stage2-pts`, "TTYReset=no"] : ["TTYPath=/run/no-terminal"]),
  ];
}

/** Runs for as long as the app does, and a moment longer: what the app wrote last is passed on. */
function ioMuxService(app: string): string {
  return text([
    "[Unit]",
    "DefaultDependencies=no",
    "Conflicts=halt.target",
    "Before=halt.target",
    "StopWhenUnneeded=yes",
    "",
    "[Service]",
    "Type=notify",
    `EnvironmentFile=/rkt/iottymux/${app}/env`,
    `ExecStart=/usr/lib/rkt/iomux ${app}`,
    "CapabilityBoundingSet=CAP_DAC_OVERRIDE",
    "NoNewPrivileges=yes",
    "TasksMax=infinity",
  ]);
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
