/** How the apps of a pod are doing: from the files that stage1 writes into rkt/status (src/stage1-contract/files.ts). */

import { readFileSync } from "node:fs";
import type { Host } from "../host/host.ts";
import { appStatusFiles, POD_STATUS_FILE } from "../stage1-contract/files.ts";
import type { Pod } from "./find.ts";
import { appNames } from "./names.ts";
import { podFileTime, readPodFile, readPodNumber } from "./read.ts";
import { isAfterRun } from "./state.ts";
import { createdAt, markedAt, startedAt, wasReady } from "./view.ts";

export interface AppStatus {
  readonly state: "unknown" | "created" | "running" | "exited";
  /** Times in nanoseconds since the epoch. */
  readonly created: bigint | undefined;
  readonly started: bigint | undefined;
  readonly finished: bigint | undefined;
  /** 128+N for a death by signal N. */
  readonly exitCode: number | undefined;
  /** "SIGKILL"; undefined when the app was not killed, or the stage1 does not tell. */
  readonly signal: string | undefined;
  /** The kernel ended the app for want of memory. */
  readonly oom: boolean;
  /** The status, where the pod's systemd says that the app had it by exiting: an app that systemd could not start has one of systemd.exec(5)'s. */
  readonly systemdStatus: number | undefined;
  /** How often it was started again. */
  readonly restarts: number;
  /** What its life before the last restart ended with. */
  readonly lastExitCode: number | undefined;
  /**
   * True when nobody wrote the status down: the app ran, the pod's first process was killed, and with it the kernel killed everything in the pod
   * (pid_namespaces(7)). For fly with a recorded exit: the shell was killed, which takes the app along.
   */
  readonly killedWithPod: boolean;
}

/** Reads one app's files; what is missing is answered from the pod's own times and state, as rkt 1.x did. */
export function appStatus(host: Host, pod: Pod, app: string): AppStatus {
  const dir = statusDirectory(host, pod);
  const files = appStatusFiles(app);
  const exit = readPodNumber(host, pod, `${dir}/${files.status}`);
  const read = (file: string) => readResult(readPodFile(host, pod, `${dir}/${file}`, 4096)?.text ?? "");
  const killedWithPod =
    exit === undefined && isAfterRun(pod.state) && wasKilledWithPod(host, pod, `${dir}/${files.started}`);
  const result = killedWithPod ? KILLED : read(files.result);
  const signal = exit === undefined && !killedWithPod ? undefined : result.signal;
  const last = read(files.lastResult);
  const finished = podFileTime(host, pod, `${dir}/${files.status}`) ?? podFileTime(host, pod, `${dir}/${files.result}`);
  const created = podFileTime(host, pod, `${dir}/${files.created}`);
  const started = podFileTime(host, pod, `${dir}/${files.started}`);
  // Of an app that was added to the running pod, and not started yet. (A stage1 that writes neither file says nothing about it.)
  const waits = created !== undefined && started === undefined && pod.state === "running";
  const unfinished = podFileTime(host, pod, `appsinfo/${app}/unfinished`) !== undefined;
  return {
    state: unfinished ? "unknown" : exit !== undefined ? "exited" : waits ? "created" : stateFromPod(pod),
    created: created ?? createdAt(host, pod),
    started: waits || unfinished ? undefined : (started ?? startedAt(host, pod)),
    finished: (exit === undefined ? undefined : finished) ?? markedAt(pod),
    exitCode: signal === undefined ? exit : 128 + signal.number,
    signal: signal?.name,
    oom: exit !== undefined && result.oom,
    systemdStatus: result.exited,
    restarts: readPodNumber(host, pod, `${dir}/${files.restarts}`) ?? 0,
    lastExitCode: last.signal === undefined ? last.exited : 128 + last.signal.number,
    killedWithPod,
  };
}

const KILLED: Result = { signal: { name: "SIGKILL", number: 9 }, oom: false, exited: undefined };

/** The stage1 had started its apps, and the machine has not been switched off since: what nobody recorded then was ended by the kernel. */
function wasKilledWithPod(host: Host, pod: Pod, startedFile: string): boolean {
  const started = podFileTime(host, pod, startedFile);
  if (started === undefined || !wasReady(host, pod)) return false;
  const uptime = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
  return Number(started) / 1e9 > Date.now() / 1000 - uptime;
}

/** The exit statuses of apps that left one, in the order of `apps`. */
export function exitStatuses(host: Host, pod: Pod, apps: readonly string[]): Map<string, number> {
  const statuses = new Map<string, number>();
  for (const app of apps) {
    const { exitCode } = appStatus(host, pod, app);
    if (exitCode !== undefined) statuses.set(app, exitCode);
  }
  return statuses;
}

/** What the pod itself ended with: the status of `rkt run`. Undefined while it lives, and when no app of it left or got a status. */
export function podExitStatus(host: Host, pod: Pod): number | undefined {
  if (!isAfterRun(pod.state)) return undefined;
  const recorded = readPodNumber(host, pod, `${statusDirectory(host, pod)}/${POD_STATUS_FILE}`);
  if (recorded !== undefined) return recorded;
  const apps = appNames(host, pod).map(({ name }) => appStatus(host, pod, name));
  const killed = apps.find(({ killedWithPod }) => killedWithPod);
  if (killed !== undefined) return killed.exitCode;
  // It was asked to end, and its apps did.
  return apps.some(({ exitCode }) => exitCode !== undefined) ? 0 : undefined;
}

function stateFromPod(pod: Pod): AppStatus["state"] {
  if (isAfterRun(pod.state)) return "exited";
  if (pod.state === "running") return "running";
  return pod.state === "prepared" ? "created" : "unknown";
}

function statusDirectory(host: Host, pod: Pod): string {
  return stage1Path(host, pod, "rkt/status");
}

/** A directory in stage1's root, or, when that overlay is not mounted here (any more), in its upper directory; relative to the pod's. */
export function stage1Path(host: Host, pod: Pod, directory: string): string {
  const mounted = `stage1/rootfs/${directory}`;
  if (podFileTime(host, pod, mounted) !== undefined) return mounted;
  const tree = readPodFile(host, pod, "stage1TreeStoreID", 1024)?.text.trim() ?? "";
  return /^[a-z0-9-]+$/.test(tree) ? `overlay/${tree}/upper/${directory}` : mounted;
}

interface Result {
  readonly signal: { readonly name: string; readonly number: number } | undefined;
  readonly oom: boolean;
  readonly exited: number | undefined;
}

/** Lines `code=exited|killed|dumped`, `status=N or signal name`, `result=…`; the pod wrote them, so anything may be in them. */
function readResult(text: string): Result {
  const fields = new Map(
    text.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]),
  );
  const killed = ["killed", "dumped"].includes(fields.get("code") ?? "");
  return {
    signal: killed ? signalNamed((fields.get("status") ?? "").trim()) : undefined,
    exited: fields.get("code") === "exited" ? Number(fields.get("status")) : undefined,
    oom: fields.get("result")?.trim() === "oom-kill",
  };
}

/** "KILL", "SIGKILL" or "9". */
function signalNamed(text: string): { name: string; number: number } | undefined {
  const known = Object.entries(process.getBuiltinModule("node:os").constants.signals);
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  const found = known.find(([other, number]) => other === name || String(number) === text);
  return found === undefined ? undefined : { name: found[0], number: found[1] };
}
