/**
 * The units of a pod, as text. Pure: everything was resolved before (paths, ids, environment). What is the same in
 * every pod lies in rootfs/: how an app's end is recorded (app-succeeded@, app-failed@), how the pod ends (halt.target,
 * pod-exit.service). Man pages: systemd.unit(5), systemd.service(5).
 */

import type { App, RuntimeApp } from "../../src/spec/appc/mod.ts";
import { logsDeniedCalls } from "../../src/stage1-contract/mod.ts";
import type { Identity } from "../common/identity.ts";
import { type Stream, streamMode } from "../common/stdio.ts";
import {
  ioMuxService,
  outputFifo,
  outputService,
  outputSocket,
  recorderName,
  recorderService,
} from "./helper-units.ts";
import { INPUT_FIFO } from "./input.ts";
import type { IoMux } from "./iomux.ts";
import { hasLimits, limitLines, oomScoreLines, sliceName } from "./limits.ts";
import { type Sandbox, type SandboxOptions, sandboxLines } from "./sandbox.ts";
import type { AppSocket } from "./sockets.ts";
import { commandLine, lineText, unitText } from "./unit-text.ts";

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
  /** The app tells when it is ready (sd_notify(3)). */
  readonly notify: boolean;
}

/** "terminal": the console, for input and output. "fifo": input.ts fills it. */
export type AppInput = "none" | "terminal" | "fifo";

export interface UnitOptions extends SandboxOptions {
  readonly input: AppInput;
  /** The app is started and stopped while the pod runs on. */
  readonly mutable: boolean;
  /** Ended apps may be started again, by app-ended. */
  readonly restarts: boolean;
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
    // systemd offers the descriptors that it was started with to the units it knows before its first job: what the root
    // slice refers to (seen with 252).
    files.set(`-.slice.d/${name}.conf`, unitText(["[Unit]", `Wants=${name}.socket`]));
  }
  if (namedOutput(unit, options)) {
    files.set(`output@${name}.socket`, outputSocket(name));
    files.set(`output@${name}.service`, outputService(name));
  }
  if (hasLimits(unit.app)) {
    const limits = limitLines(unit.app, options.disks);
    files.set(sliceName(name), unitText(["[Unit]", "DefaultDependencies=no", "", "[Slice]", ...limits]));
  }
  if (unit.mux !== undefined) files.set(`iomux-${name}.service`, ioMuxService(name));
  if (logs(unit, options)) files.set(recorderName(name), recorderService(name, options));
  return files;
}

/**
 * The target that systemd starts: every app; in a pod that apps are added to later, the mark that it is ready for them.
 * It is reached, and the pod ready (systemd-nspawn(1), --notify-ready=), when those apps are that tell.
 */
export function defaultTarget(
  apps: readonly { readonly name: string; readonly notify: boolean }[],
  mutable = false,
): string {
  const services = (chosen: typeof apps) => chosen.map(({ name }) => `${name}.service`);
  const telling = services(apps.filter(({ notify }) => notify));
  const wanted = [...services(apps), mutable ? "supervisor-ready.service" : "supervisor-ready.socket"];
  return unitText([
    ...["[Unit]", "Description=rkt pod", "DefaultDependencies=no", `Wants=${wanted.join(" ")}`],
    ...(telling.length > 0 ? [`After=${telling.join(" ")}`] : []),
  ]);
}

function appService(unit: AppUnit, options: UnitOptions): string {
  const { runtimeApp, app, identity } = unit;
  const name = runtimeApp.name;
  const logged = logs(unit, options);
  const wrapper = logged ? [LOGGED_EXEC] : [];
  const handlers = app.eventHandlers.map(
    (handler) =>
      `${handler.name === "pre-start" ? "ExecStartPre" : "ExecStopPost"}=${commandLine([...wrapper, ...handler.exec], true)}`,
  );
  return unitText([
    "[Unit]",
    `Description=${lineText(`Application=${name} Image=${runtimeApp.image.name ?? ""}`)}`,
    "DefaultDependencies=no",
    "Conflicts=halt.target",
    "Before=halt.target pod-exit.service",
    // Two units: where one has both triggers, systemd does not pass the app's status on ("multiple trigger source
    // candidates", seen with 252).
    `OnSuccess=app-succeeded@${name}.service`,
    `OnFailure=app-failed@${name}.service`,
    ...(options.restarts ? ["StartLimitIntervalSec=0"] : []),
    ...startedBefore(identity, options),
    ...(namedOutput(unit, options) ? [`Wants=output@${name}.socket`, `After=output@${name}.socket`] : []),
    ...(unit.sockets.length > 0 ? [`Requires=${name}.socket`, `After=${name}.socket`] : []),
    ...(unit.mux === undefined ? [] : [`Requires=iomux-${name}.service`, `After=iomux-${name}.service`]),
    ...(logged ? [`Requires=${recorderName(name)}`, `After=${recorderName(name)}`] : []),
    "",
    "[Service]",
    // Whoever starts it later is told when its program cannot be executed.
    ...(options.mutable ? ["Type=exec"] : []),
    "Restart=no",
    // From any process of the app: many start through a shell script.
    ...(unit.notify ? ["Type=notify", "NotifyAccess=all"] : []),
    "TimeoutStartSec=0",
    `SyslogIdentifier=${name}`,
    // Handlers run as root (rkt 1.x), but in the app's root and with its limits.
    ...handlers,
    `ExecStart=${commandLine([...wrapper, unit.binary, ...app.exec.slice(1)])}`,
    `WorkingDirectory=${lineText(app.workingDirectory || "/")}`,
    ...identityLines(identity),
    ...stdio(unit, options),
    ...oomScoreLines(app),
    ...(namedOutput(unit, options) ? [`BindPaths=${outputFifo(name)}:/dev/output:norbind`] : []),
    ...(logged
      ? [
          `BindReadOnlyPaths=/usr/lib/rkt/seccomp-log:${LOGGED_EXEC}:norbind /rkt/seccomp/${name}:/dev/rkt/seccomp:norbind`,
        ]
      : []),
    ...sandboxLines({ ...sandboxOf(unit), logged }, options),
  ]);
}

/**
 * What becomes the app's program, as the app sees it (seccomp-log.c); in its /dev, since every app has one that the
 * pod's systemd can make files in.
 */
const LOGGED_EXEC = "/dev/rkt/exec";

function logs({ runtimeApp }: AppUnit, { disableSeccomp }: UnitOptions): boolean {
  return logsDeniedCalls(runtimeApp) && !disableSeccomp;
}

function namedOutput({ runtimeApp }: AppUnit, { journal, input }: UnitOptions): boolean {
  return journal === "only" && input === "none" && streamMode(runtimeApp, "stdout") !== "null";
}

/** All sockets in one unit: that keeps their order. */
function appSocket({ runtimeApp: { name }, sockets }: AppUnit): string {
  return unitText([
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

/**
 * The mark that the apps have been started (the contract's rkt/supervisor-status, a link to "ready"). systemd makes it
 * by itself, for a FIFO that nobody uses: a program for it would be a process more at each start.
 */
export function readyMark(apps: readonly string[]): [string, string][] {
  const unit = ["[Unit]", "DefaultDependencies=no", "Conflicts=halt.target", "Before=halt.target"];
  const after = `After=${apps.map((app) => `${app}.service`).join(" ")}`;
  const socket = ["[Socket]", "ListenFIFO=/rkt/ready", "SocketMode=0600", "Symlinks=/rkt/supervisor-status"];
  return [
    ["supervisor-ready.socket", unitText([...unit, after, "", ...socket])],
    [
      "supervisor-ready.service",
      unitText([...unit, "", "[Service]", "Type=oneshot", "ExecStart=/usr/bin/cat /dev/null"]),
    ],
  ];
}

/** What an app needs besides itself. Nothing for root on a console: a process more at the start is a twentieth of it. */
function startedBefore({ uid }: Identity, { journal, input }: UnitOptions): string[] {
  const units = [
    ...(journal === "no" ? [] : ["systemd-journald.service"]),
    // With a terminal for its input systemd gives the app the console itself.
    ...(uid !== 0 && input !== "terminal" && journal !== "only" ? ["console-access.service"] : []),
  ];
  return units.length === 0 ? [] : [`Wants=${units.join(" ")}`, `After=${units.join(" ")}`];
}

/**
 * A command entered into the app, with the app's rights: what runs, and on which terminal or files, is said by a
 * drop-in of the instance (enter.ts).
 */
function enterService(unit: AppUnit, options: UnitOptions): string {
  return unitText([
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
    logged: false,
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
    // "tty" would be the same descriptor, but at the unit's end systemd sets the console's mode back, and the other
    // apps' users could no longer open it by
    // name (console-access.service). For the journal's copy on the console it does that to TTYPath: a file that is not
    // there.
    if (journal === "no" || input !== "none") return "file:/dev/console";
    return journal === "only" ? "journal" : "journal+console";
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
