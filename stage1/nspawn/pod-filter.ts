/**
 * The seccomp filter of the whole pod, its systemd included: the second wall behind each app's own filter. systemd-nspawn would build one through libseccomp
 * at every start, for three architectures (measured: 30 of 290 ms); this one is a constant program of a hundred instructions, installed right before the hand-over.
 * It denies what systemd-nspawn's denies, and is only used where every app has the default filter or a list of what is allowed. What such a list names, and what
 * comes with a capability, the pod's filter lets through too: systemd-nspawn's would not for half of it (keyctl, bpf, perf_event_open, open_by_handle_at).
 */

import {
  ARCHITECTURE,
  BPF,
  CALL_DATA,
  type FilterInstruction,
  filterProgram,
  VERDICT,
  X32_BIT,
} from "../../src/host/filter-program.ts";
import { type Host, SystemCallError } from "../../src/host/mod.ts";
import { type App, capabilitySets, seccompFilter, seccompProfile } from "../../src/spec/appc/mod.ts";
import { CALLS_BY_CAPABILITY } from "./seccomp-sets.ts";

/** Numbers on x86-64 and i386; null where the architecture has no such call. Here and not looked up in system-call-numbers.ts, because every start of a pod would read those eight hundred names. */
const DENIED: Readonly<Record<string, readonly [x64: number | null, i386: number | null]>> = {
  acct: [163, 51],
  add_key: [248, 286],
  adjtimex: [159, 124],
  bpf: [321, 357],
  clock_adjtime: [305, 343],
  clock_adjtime64: [null, 405],
  clock_settime: [227, 264],
  clock_settime64: [null, 404],
  create_module: [174, 127],
  delete_module: [176, 129],
  finit_module: [313, 350],
  get_kernel_syms: [177, 130],
  init_module: [175, 128],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  ioperm: [173, 101],
  iopl: [172, 110],
  kexec_file_load: [320, null],
  kexec_load: [246, 283],
  keyctl: [250, 288],
  lookup_dcookie: [212, 253],
  migrate_pages: [256, 294],
  move_pages: [279, 317],
  nfsservctl: [180, 169],
  open_by_handle_at: [304, 342],
  perf_event_open: [298, 336],
  process_vm_readv: [310, 347],
  process_vm_writev: [311, 348],
  ptrace: [101, 26],
  query_module: [178, 167],
  quotactl: [179, 131],
  quotactl_fd: [443, 443],
  request_key: [249, 287],
  settimeofday: [164, 79],
  stime: [null, 25],
  swapoff: [168, 115],
  swapon: [167, 87],
  sysfs: [139, 135],
  _sysctl: [156, 149],
  uselib: [134, 86],
  userfaultfd: [323, 374],
  ustat: [136, 62],
  vm86: [null, 166],
  vm86old: [null, 113],
};

/** Whether the pod gets this filter in place of systemd-nspawn's own: known numbers, and apps of which each has a filter that is a list of what is allowed. */
export function hasPodFilter(apps: readonly App[], disabled: boolean): boolean {
  return process.arch === "x64" && !disabled && apps.every((app) => listedCalls(app) !== undefined);
}

/** What an app's filter allows by name besides the default's; undefined where it allows everything but what it names. */
function listedCalls({ isolators }: App): readonly string[] | undefined {
  const profile = seccompProfile(isolators);
  if (profile !== undefined) {
    if (profile.defaultAction === "allow" || profile.defaultAction === "log") return undefined;
    return profile.rules.flatMap(({ action, names, args, includes, excludes }) => {
      // Of a rule with a condition it is not known here whether it counts (seccomp-profile.ts).
      const plain = args.length === 0 && [...Object.values(includes), ...Object.values(excludes)].every(isEmpty);
      return plain && (action === "allow" || action === "log") ? names : [];
    });
  }
  const filter = seccompFilter(isolators);
  if (filter === undefined) return [];
  return filter.mode === "remove" || filter.set.includes("@appc.io/all") ? undefined : filter.set;
}

function isEmpty(condition: readonly string[] | string): boolean {
  return condition.length === 0;
}

/** Installs the filter for these apps on this thread; the program executed next, and all that it starts, has it. */
export function filterPod(host: Host, apps: readonly App[]): void {
  joinOwnKeyring(host);
  host.filterSystemCalls(podFilter(apps));
}

/** As systemd-nspawn does, which with a filter of ours may not, and without one does not: the pod must not hold the keys of whoever started it. */
export function joinOwnKeyring(host: Host): void {
  try {
    host.joinSessionKeyring();
  } catch (error) {
    // Inside a container there may be no keyrings at all.
    if (!(error instanceof SystemCallError)) throw error;
  }
}

const { LOAD, IF_EQUAL, IF_AT_LEAST, RETURN } = BPF;
const { NUMBER, ARCHITECTURE: ARCH } = CALL_DATA;
const { ALLOW, EPERM } = VERDICT;

/** The program, as struct sock_filter[]. Of another architecture's calls (there is none on this processor) nothing is allowed. */
export function podFilter(apps: readonly App[] = []): Uint8Array {
  const capabilities = apps.flatMap(({ isolators }) => capabilitySets(isolators).retain ?? []);
  const granted = new Set([
    ...capabilities.flatMap((name) => CALLS_BY_CAPABILITY.get(name) ?? []),
    ...apps.flatMap((app) => listedCalls(app) ?? []),
  ]);
  const denied = Object.entries(DENIED).filter(([name]) => !granted.has(name));
  const numbers = (column: 0 | 1) => denied.flatMap(([, row]) => row[column] ?? []);
  const x64 = numbers(0);
  const i386 = numbers(1);
  const instructions: FilterInstruction[] = [
    [LOAD, 0, 0, ARCH],
    [IF_EQUAL, 0, 4 + x64.length, ARCHITECTURE.x64],
    [LOAD, 0, 0, NUMBER],
    [IF_AT_LEAST, x64.length + 1, 0, X32_BIT],
    ...x64.map((value, index): FilterInstruction => [IF_EQUAL, x64.length - index, 0, value]),
    [RETURN, 0, 0, ALLOW],
    [RETURN, 0, 0, EPERM],
    [IF_EQUAL, 0, i386.length + 2, ARCHITECTURE.i386],
    [LOAD, 0, 0, NUMBER],
    ...i386.map((value, index): FilterInstruction => [IF_EQUAL, i386.length - index, 0, value]),
    [RETURN, 0, 0, ALLOW],
    [RETURN, 0, 0, EPERM],
  ];
  return filterProgram(instructions);
}
