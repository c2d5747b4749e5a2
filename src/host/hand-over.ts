/**
 * The hand-over: this process becomes another program (execve(2)) and must leave no trace of having been JavaScript. What Bun changes at its start would be
 * inherited by every app of the pod: the soft limit of open files (raised to the hard one), SIGPIPE and SIGXFSZ (ignored), non-blocking stdio, descriptors.
 */

import { readdirSync, readFileSync } from "node:fs";
import { F, FD_CLOEXEC, O, RLIMIT_NOFILE, SIGNAL } from "./constants.ts";
import type { Host } from "./host.ts";
import { callerUmask } from "./umask.ts";

export interface HandOver {
  /** Absolute path, or one relative to the current root. */
  path: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Descriptors that the new program gets besides stdio and the activated sockets: the pod's lock. */
  keep: readonly number[];
}

/** What {@link handOver} must know from before a chroot or a change of namespaces: /proc may be gone by then. */
export interface CallerState {
  softOpenFiles: bigint;
  listenFds: number;
  umask: number;
}

/** systemd's DefaultLimitNOFILE= is "1024:524288" (systemd-system.conf(5)). */
const SYSTEMD_HARD = 524288n;
const SYSTEMD_SOFT = 1024n;

/**
 * Reads what the caller of rkt had. The soft limit of open files is no longer visible in this process, since Bun raised it before our first line ran. The
 * parent still has it where it is a shell or a supervisor that passes its own limits on; where its hard limit differs, it set ours on purpose: one
 * number for both, or systemd's default pair.
 */
export function callerState(host: Host): CallerState {
  const own = host.getLimit(RLIMIT_NOFILE);
  return {
    softOpenFiles: originalSoftLimit(own.hard, parentLimit()),
    listenFds: activatedSockets(),
    umask: callerUmask(),
  };
}

/** Pure, for tests: `hard` is ours, `parent` is what the parent has now. */
export function originalSoftLimit(hard: bigint, parent: { soft: bigint; hard: bigint } | undefined): bigint {
  if (parent !== undefined && parent.hard === hard) return parent.soft;
  return hard === SYSTEMD_HARD ? SYSTEMD_SOFT : hard;
}

function parentLimit(): { soft: bigint; hard: bigint } | undefined {
  try {
    const line = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${process.ppid}/limits`, "utf8"));
    return line?.[1] === undefined || line[2] === undefined
      ? undefined
      : { soft: BigInt(line[1]), hard: BigInt(line[2]) };
  } catch {
    return undefined;
  }
}

/** The number of sockets passed by socket activation to this process (sd_listen_fds(3)). */
export function activatedSockets(env: Readonly<Record<string, string | undefined>> = process.env): number {
  if (env["LISTEN_PID"] !== String(process.pid)) return 0;
  const count = env["LISTEN_FDS"] ?? "";
  return /^[0-9]{1,4}$/.test(count) ? Number(count) : 0;
}

/** Restores the caller's limits, umask, signals and descriptors, and executes. Synchronous; does not return. Throws SystemCallError when the kernel refuses. */
export function handOver(host: Host, caller: CallerState, target: HandOver): never {
  const limit = host.getLimit(RLIMIT_NOFILE);
  host.setLimit(RLIMIT_NOFILE, {
    soft: caller.softOpenFiles < limit.hard ? caller.softOpenFiles : limit.hard,
    hard: limit.hard,
  });
  host.umask(caller.umask);
  for (const fd of [0, 1, 2]) makeBlocking(host, fd);
  const kept = new Set(target.keep);
  for (let index = 0; index < caller.listenFds; index += 1) kept.add(3 + index);
  // The default is set on everything else, so that no descriptor of the host (a directory, the store) leaks into a pod (CVE-2024-21626).
  for (const fd of openDescriptors()) {
    try {
      host.fcntl(fd, F.SETFD, kept.has(fd) ? 0 : FD_CLOEXEC);
    } catch {
      // The descriptor of the listing itself is gone by now.
    }
  }
  // Only what Bun set to "ignored": caught signals reset themselves at execve, and a SIGHUP that nohup(1) ignored must stay ignored.
  host.resetSignals([SIGNAL.PIPE, SIGNAL.XFSZ]);
  return host.execve(target.path, target.argv, withoutRuntimeVariables(target.env));
}

function makeBlocking(host: Host, fd: number): void {
  try {
    const flags = host.fcntl(fd, F.GETFL, 0);
    if ((flags & O.NONBLOCK) !== 0) host.fcntl(fd, F.SETFL, flags & ~O.NONBLOCK);
  } catch {
    // A closed stdio descriptor stays closed.
  }
}

/** Descriptors from 3 up: from /proc where it is mounted, else every number up to a bound that a start-up cannot exceed. */
function openDescriptors(): number[] {
  try {
    return readdirSync("/proc/self/fd")
      .map(Number)
      .filter((fd) => fd > 2);
  } catch {
    return Array.from({ length: 1021 }, (_, index) => index + 3);
  }
}

/** BUN_* variables are like LD_PRELOAD for whoever runs a Bun program next; none reaches a supervisor or an app. */
export function withoutRuntimeVariables(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("BUN_")));
}
