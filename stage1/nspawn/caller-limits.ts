/**
 * Resource limits of the apps: those that rkt's caller has, as with every program that the caller starts (a unit's LimitNOFILE=, a shell's ulimit). They must be
 * passed on by name: systemd-nspawn gives the pod's init the kernel's defaults, and systemd gives its services defaults of its own. Pure, but for the first.
 */

import { type CallerState, type Host, type ResourceLimit, RLIMIT_NOFILE } from "../../src/host/mod.ts";

/** setrlimit(2): the place in the list is the kernel's number (asm-generic/resource.h; x86-64 and arm64). */
const NAMES = [
  ...["CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING"],
  ...["MSGQUEUE", "NICE", "RTPRIO", "RTTIME"],
];

const INFINITY = 2n ** 64n - 1n;

export interface NamedLimit extends ResourceLimit {
  readonly name: string;
}

/** Throws SYSTEM_CALL. */
export function callerLimits(host: Host, caller: CallerState): NamedLimit[] {
  return NAMES.map((name, resource) => {
    const { soft, hard } = host.getLimit(resource);
    return { name, soft: resource === RLIMIT_NOFILE ? caller.softOpenFiles : soft, hard };
  });
}

/** For the pod's init, which cannot raise what it does not have (systemd-nspawn(1), --rlimit=). */
export function limitArguments(limits: readonly NamedLimit[]): string[] {
  return limits.map((limit) => `--rlimit=${limit.name}=${pair(limit)}`);
}

/** For the apps (systemd.exec(5), "Process Properties"). */
export function limitDirectives(limits: readonly NamedLimit[]): string[] {
  return limits.map((limit) => `Limit${limit.name}=${pair(limit)}`);
}

function pair({ soft, hard }: ResourceLimit): string {
  return [soft, hard].map((value) => (value === INFINITY ? "infinity" : String(value))).join(":");
}
