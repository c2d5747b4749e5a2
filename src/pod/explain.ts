/** Why a pod's apps ended: what the stage1 recorded, the limits that were set, and what the kernel said, as sentences with a remedy. */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/host.ts";
import type { KernelMessage } from "../host/kernel-log.ts";
import { memoryLimit, type RuntimeApp, seccompFilter } from "../spec/appc/mod.ts";
import { type AppStatus, appStatus } from "./app-status.ts";
import type { Pod } from "./find.ts";

export interface AppExplanation {
  readonly app: string;
  readonly status: AppStatus;
  /** One sentence, without a final period. */
  readonly text: string;
  readonly remedy: string | undefined;
  /** Kernel messages about this app or its pod. */
  readonly kernel: readonly string[];
}

/** `messages`: {@link kernelMessages}, or nothing where they cannot be read. */
export function explainApp(host: Host, pod: Pod, app: RuntimeApp, messages: readonly KernelMessage[]): AppExplanation {
  const status = appStatus(host, pod, app.name);
  const kernel = kernelAbout(pod, app, status, messages).map(({ text }) => text);
  return { app: app.name, status, kernel, ...sentence(pod, app, status) };
}

function sentence(pod: Pod, app: RuntimeApp, status: AppStatus): { text: string; remedy: string | undefined } {
  const { exitCode, signal } = status;
  if (status.killedWithPod)
    return {
      text: "the kernel killed it with the pod: the pod's first process, or its supervisor, was killed (SIGKILL)",
      remedy: "look for who sent SIGKILL: `rkt stop --force`, a supervisor's timeout, the kernel's messages",
    };
  if (exitCode === undefined) return withoutStatus(pod, status);
  if (status.oom) {
    const limit = memoryLimit(app.app?.isolators ?? []);
    return {
      text: `the kernel killed it for want of memory${limit === undefined ? "" : `: its limit is ${limit} bytes`}`,
      remedy: limit === undefined ? "give the host or the pod more memory" : "raise the limit with --memory",
    };
  }
  if (signal !== undefined) return bySignal(app, signal);
  if (exitCode === 0) return { text: "it ended by itself, with status 0", remedy: undefined };
  const failure = SYSTEMD_STATUSES[exitCode];
  if (failure !== undefined && exitCode === status.systemdStatus)
    return { text: `it could not be started: ${failure.text} (status ${exitCode})`, remedy: failure.remedy };
  return { text: `it ended by itself, with status ${exitCode}`, remedy: SHELL_STATUSES[exitCode] };
}

function withoutStatus(pod: Pod, { state }: AppStatus): { text: string; remedy: string | undefined } {
  if (state === "running") return { text: "it is running", remedy: undefined };
  if (state !== "exited") return { text: `it has not run: the pod is ${pod.state}`, remedy: undefined };
  return {
    text: "it left no status: the pod's supervisor or its init was killed first, or its stage1 records none",
    remedy: "look for who sent SIGKILL: `rkt stop --force`, a supervisor's timeout, the kernel's messages",
  };
}

const CRASHES: readonly string[] = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP"];

function bySignal(app: RuntimeApp, signal: string): { text: string; remedy: string | undefined } {
  if (signal === "SIGSYS") {
    const own = seccompFilter(app.app?.isolators ?? []) !== undefined;
    return {
      text: `it was killed for a system call that ${own ? "its seccomp isolator" : "a filter"} does not allow`,
      remedy: "allow the call with --seccomp mode=retain,… (its number is in the kernel's message)",
    };
  }
  if (CRASHES.includes(signal)) return { text: `it crashed (${signal})`, remedy: undefined };
  if (signal === "SIGTERM" || signal === "SIGINT")
    return { text: `it was asked to end (${signal}), by \`rkt stop\` or whoever supervises rkt`, remedy: undefined };
  return { text: `it was killed (${signal})`, remedy: undefined };
}

/** systemd.exec(5), "Process exit codes": systemd itself failed before the program began. */
const SYSTEMD_STATUSES: Readonly<Record<number, { text: string; remedy: string }>> = {
  200: { text: "its working directory does not exist", remedy: "name another with --working-dir" },
  203: {
    text: "its program does not exist, is no program of this machine's kind, or needs an interpreter that the image lacks",
    remedy: "name a program of the image with --exec",
  },
  206: {
    text: "its out-of-memory score cannot be set",
    remedy: "leave out --oom-score-adj, or give rkt CAP_SYS_RESOURCE",
  },
  216: { text: "its group cannot be set", remedy: "name another with --group" },
  217: { text: "its user cannot be set", remedy: "name another with --user" },
  218: {
    text: "its capabilities cannot be set",
    remedy: "retain only capabilities that rkt itself has (--caps-retain)",
  },
  226: {
    text: "its file systems cannot be mounted",
    remedy: "look at the volumes and their targets: --volume, --mount",
  },
  228: { text: "its system call filter cannot be set", remedy: "check the names in --seccomp" },
  231: { text: "its AppArmor profile cannot be set", remedy: "load the profile on the host first" },
};

/** What shells say (sh(1), "Exit status"). */
const SHELL_STATUSES: Readonly<Record<number, string>> = {
  126: "a shell in it found a program that may not be executed",
  127: "a shell in it did not find a program: check its PATH and what the image holds",
};

/** Messages that name the pod's cgroup, what follows from them, and those about the program while the app lived. */
function kernelAbout(
  pod: Pod,
  app: RuntimeApp,
  status: AppStatus,
  messages: readonly KernelMessage[],
): KernelMessage[] {
  const killed = new Set(
    messages.flatMap(({ text }) => (text.includes(pod.uuid) ? (/\bpid=(\d+)/.exec(text)?.[1] ?? []) : [])),
  );
  const boot = bootTime();
  const from = status.started === undefined ? Number.POSITIVE_INFINITY : Number(status.started) / 1e9 - boot - 1;
  const to = status.finished === undefined ? Number.POSITIVE_INFINITY : Number(status.finished) / 1e9 - boot + 1;
  // The kernel cuts names at 15 bytes (TASK_COMM_LEN).
  const command = basename(app.app?.exec[0] ?? "").slice(0, 15);
  return messages.filter(({ time, text }) => {
    if (text.includes(pod.uuid)) return true;
    if (time < from || time > to) return false;
    const killedPid = /Killed process (\d+)/.exec(text)?.[1];
    if (killedPid !== undefined) return killed.has(killedPid);
    if (command === "") return false;
    // A fault is reported as "comm[pid]: segfault at …", a filtered call as audit record 1326 (SECCOMP).
    if (text.startsWith(`${command}[`)) return true;
    return text.includes("type=1326") && text.includes(`comm=${quoted(command)}`);
  });
}

/** Seconds since the epoch at which CLOCK_MONOTONIC was 0. */
function bootTime(): number {
  const uptime = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
  return Date.now() / 1000 - uptime;
}
