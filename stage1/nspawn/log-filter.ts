/**
 * `--seccomp=mode=log`: the filter that asks (SECCOMP_RET_USER_NOTIF, seccomp_unotify(2)) where the app's own would deny. seccomp-log.c installs it, counts what is
 * asked, and lets every call go on. Pure. docs/decisions/0013-denied-calls-by-notification.md
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import {
  ARCHITECTURE,
  BPF,
  CALL_DATA,
  type FilterInstruction,
  filterProgram,
  NEW_NAMESPACES,
  VERDICT,
  X32_BIT,
} from "../../src/host/filter-program.ts";
import { type CallTable, nativeTables, systemCalls } from "../../src/host/system-call-numbers.ts";
import { type Isolator, type PodManifest, seccompFilter, seccompProfile } from "../../src/spec/appc/mod.ts";
import { logsDeniedCalls } from "../../src/stage1-contract/mod.ts";
import { CALLS_BY_CAPABILITY, DEFAULT_CALLS, isSystemCall, SECCOMP_SETS } from "./seccomp-sets.ts";

/** For whoever started a pod in which an app makes every call. */
export function logWarnings({ apps }: Pick<PodManifest, "apps">): string[] {
  return apps
    .filter(logsDeniedCalls)
    .map(
      ({ name }) =>
        `app ${quoted(name)} has no system call filter: what its filter would deny is let through and written down (--seccomp=mode=log)`,
    );
}

/** What an app's filter allows, as far as call names say it. */
export interface AllowedCalls {
  readonly calls: ReadonlySet<string>;
  /** False: clone(2) with a new namespace is denied though clone is allowed, and clone3 gives ENOSYS. */
  readonly namespaces: boolean;
}

/** systemd allows these whatever is retained (systemd.exec(5), SystemCallFilter=: execve, exit, getrlimit, sigreturn, and what asks for time and sleeps). */
const ALWAYS =
  `arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 execve exit exit_group futex futex_time64 futex_waitv
  get_robust_list get_thread_area getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getrandom getresgid getresgid32
  getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32 membarrier mmap mmap2 mprotect munmap nanosleep pause prlimit64 restart_syscall rseq
  rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area set_tid_address set_tls sigreturn time ugetrlimit`.split(
    /\s+/,
  );

/** Throws UNSUPPORTED for filters of which only systemd knows what they allow. */
export function allowedCalls(
  app: string,
  isolators: readonly Isolator[],
  capabilities: readonly string[],
): AllowedCalls {
  if (seccompProfile(isolators) !== undefined)
    throw unsupported(app, "its filter is a profile, expected the default filter or a set", "leave the profile out");
  const filter = seccompFilter(isolators);
  if (filter === undefined || (filter.mode === "remove" && filter.set.includes("@appc.io/empty"))) {
    const more = capabilities.flatMap((name) => CALLS_BY_CAPABILITY.get(name) ?? []);
    return { calls: new Set([...DEFAULT_CALLS, ...more]), namespaces: capabilities.includes("CAP_SYS_ADMIN") };
  }
  if (filter.mode === "retain" && filter.set.includes("@appc.io/all"))
    throw unsupported(app, "it has no filter that could deny anything", "leave the set @appc.io/all out");
  const named = filter.set.flatMap((word) => {
    if (isSystemCall(word)) return [word];
    const calls = SECCOMP_SETS.get(word);
    if (calls === undefined || calls.some((call) => call.startsWith("@")))
      throw unsupported(
        app,
        `the calls of the set ${quoted(word)} are known to systemd alone`,
        "name the calls themselves",
      );
    return calls;
  });
  if (filter.mode === "retain") return { calls: new Set([...ALWAYS, ...named]), namespaces: true };
  const all = nativeTables().flatMap((table) => [...systemCalls(table).keys()]);
  return { calls: new Set(all.filter((name) => !named.includes(name))), namespaces: true };
}

function unsupported(app: string, state: string, hint: string): RktError {
  return new RktError("UNSUPPORTED", `Cannot log the denied system calls of app ${quoted(app)}: ${state}`, { hint });
}

const { LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, JUMP, RETURN } = BPF;
const { NUMBER, ARCHITECTURE: ARCH, FIRST_ARGUMENT: ARGUMENT } = CALL_DATA;
const { ALLOW, ASK, EPERM, ENOSYS } = VERDICT;

/** struct sock_filter[]. `tables`: whose calls there are; another architecture's are denied. */
export function logFilter(allowed: AllowedCalls, tables: readonly CallTable[] = nativeTables()): Uint8Array {
  return filterProgram([
    [LOAD, 0, 0, ARCH],
    ...tables.flatMap((table) => {
      const section = tableSection(allowed, table);
      // A conditional jump reaches 255 instructions only.
      return [[IF_EQUAL, 1, 0, ARCHITECTURE[table]], [JUMP, 0, 0, section.length], ...section] as FilterInstruction[];
    }),
    [RETURN, 0, 0, EPERM],
  ]);
}

function tableSection({ calls, namespaces }: AllowedCalls, table: CallTable): FilterInstruction[] {
  const numbers = systemCalls(table);
  const answer = (name: string, ...verdict: FilterInstruction[]): FilterInstruction[] => {
    const number = numbers.get(name);
    return number === undefined ? [] : [[IF_EQUAL, 0, verdict.length, number], ...verdict];
  };
  const special = namespaces
    ? []
    : [
        ...answer("clone3", [RETURN, 0, 0, ENOSYS]),
        ...(calls.has("clone")
          ? answer(
              "clone",
              [LOAD, 0, 0, ARGUMENT],
              [IF_ANY_BIT, 0, 1, NEW_NAMESPACES],
              [RETURN, 0, 0, ASK],
              [RETURN, 0, 0, ALLOW],
            )
          : []),
      ];
  return [
    [LOAD, 0, 0, NUMBER],
    ...(table === "x64"
      ? ([
          [IF_AT_LEAST, 0, 1, X32_BIT],
          [RETURN, 0, 0, EPERM],
        ] as const)
      : []),
    ...special,
    ...[...calls].flatMap((name) => answer(name, [RETURN, 0, 0, ALLOW])),
    [RETURN, 0, 0, ASK],
  ];
}

/** What seccomp-log.c calls the calls: lines `ARCHITECTURE NUMBER NAME`, of those that can be asked about. */
export function logNames({ calls, namespaces }: AllowedCalls, tables: readonly CallTable[] = nativeTables()): string {
  return tables
    .flatMap((table) =>
      [...systemCalls(table)]
        .filter(([name]) => !calls.has(name) || (name === "clone" && !namespaces))
        .map(([name, number]) => `${ARCHITECTURE[table]} ${number} ${name}\n`),
    )
    .join("");
}
