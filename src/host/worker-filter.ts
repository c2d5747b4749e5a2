/**
 * The system calls of a worker: what it needs and nothing else, by a filter (seccomp(2)) that binds every thread from its first line on. Measured with strace(1) over fetching, verifying and
 * unpacking of every kind, and rounded up to families of calls, so that another C library, kernel or runtime does not break a fetch. What is missing on purpose: everything that mounts, makes
 * or joins namespaces, traces, loads code into the kernel, reaches keys, clocks, other processes' memory or files by handle, io_uring, userfaultfd, bpf. Denied calls fail with EPERM.
 */

import { isErrno } from "./errno.ts";
import {
  ARCHITECTURE,
  BPF,
  CALL_DATA,
  type FilterInstruction,
  filterProgram,
  NEW_NAMESPACES,
  VERDICT,
  X32_BIT,
} from "./filter-program.ts";
import type { Host } from "./host.ts";
import { systemCalls } from "./system-call-numbers.ts";

/** What a worker does besides computing, reading and writing what is open to it: talk to servers; write into the store or a temporary directory; give files their owners. */
export type WorkerCalls = "network" | "files" | "owners";

const words = (text: string): string[] => text.trim().split(/\s+/);

/** The runtime itself, files, and starting a program (gpgv, xz). */
const COMMON =
  words(`read write open openat openat2 close close_range stat fstat lstat newfstatat statx poll ppoll lseek mmap mprotect munmap brk mremap msync mincore
  madvise rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack ioctl pread64 pwrite64 readv writev preadv
  pwritev preadv2 pwritev2 access faccessat faccessat2 pipe pipe2 select pselect6 sched_yield sched_getaffinity sched_setaffinity sched_getparam
  sched_getscheduler sched_get_priority_max sched_get_priority_min sched_setscheduler sched_setparam sched_getattr dup dup2 dup3 nanosleep
  clock_nanosleep clock_gettime clock_getres gettimeofday time getitimer setitimer alarm pause timer_create timer_settime timer_gettime timer_delete
  timer_getoverrun timerfd_create timerfd_settime timerfd_gettime getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups
  getpgid getpgrp getsid setsid setpgid sendfile socketpair shutdown sendto recvfrom sendmsg recvmsg getsockname getpeername getsockopt setsockopt fork
  vfork clone execve execveat exit exit_group wait4 waitid kill tgkill tkill uname fcntl flock fsync fdatasync truncate ftruncate fallocate fadvise64
  readahead copy_file_range sync_file_range getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir unlink unlinkat
  readlink readlinkat umask link linkat symlink symlinkat getrlimit setrlimit prlimit64 getrusage times sysinfo getpriority setpriority getcpu getrandom
  futex futex_waitv set_robust_list get_robust_list set_tid_address rseq restart_syscall arch_prctl membarrier prctl capget capset epoll_create
  epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 inotify_init1 inotify_add_watch inotify_rm_watch
  memfd_create mlock munlock pkey_alloc pkey_free pkey_mprotect statfs fstatfs utimensat setgroups pidfd_open pidfd_send_signal`);
const NETWORK = words("connect bind accept accept4 listen sendmmsg recvmmsg");
const STORE = words("chmod fchmod fchmodat fchown");
const OWNERS =
  words(`chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat mknod mknodat setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr
  llistxattr flistxattr removexattr lremovexattr fremovexattr syncfs utime utimes futimesat setfsuid setfsgid`);

const CALLS: Readonly<Record<WorkerCalls, readonly string[]>> = {
  network: [...COMMON, ...STORE, ...NETWORK],
  files: [...COMMON, ...STORE],
  owners: [...COMMON, ...OWNERS],
};

/** Families of sockets: AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, by which name resolution asks for this host's addresses. */
const FAMILIES: Readonly<Record<WorkerCalls, readonly number[]>> = { network: [1, 2, 10, 16], files: [1], owners: [1] };

/** Confines the calling thread, and what it executes next, to `calls`. It must have no_new_privs or CAP_SYS_ADMIN. A kernel without filters leaves it as it is. */
export function filterWorker(host: Host, calls: WorkerCalls): void {
  const program = workerFilter(calls, process.arch);
  if (program === undefined) return;
  try {
    host.filterSystemCalls(program);
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
  }
}

const { LOAD, AND, IF_EQUAL, IF_ABOVE, IF_AT_LEAST, RETURN } = BPF;
const { NUMBER, ARCHITECTURE: ARCH, FIRST_ARGUMENT } = CALL_DATA;
const { ALLOW, EPERM, ENOSYS } = VERDICT;
/** The last call when this list was made (Linux 6.12). Programs that try a later one must see a kernel that lacks it, and fall back. */
const LAST_KNOWN = 466;

/** struct sock_filter[]; undefined on a processor whose numbers are not known here. */
export function workerFilter(calls: WorkerCalls, arch: string): Uint8Array | undefined {
  if (arch !== "x64" && arch !== "arm64") return undefined;
  const numbers = systemCalls(arch);
  /** Of a call that both processors have. */
  const number = (name: string) => numbers.get(name) ?? 0;
  const allowed = [...new Set(CALLS[calls])].flatMap((name) => (name === "clone" ? [] : (numbers.get(name) ?? [])));
  const families = FAMILIES[calls];
  const instructions: FilterInstruction[] = [
    [LOAD, 0, 0, ARCH],
    [IF_EQUAL, 1, 0, ARCHITECTURE[arch]],
    [RETURN, 0, 0, EPERM],
    [LOAD, 0, 0, NUMBER],
    // clone3 hides its flags behind a pointer: the C library falls back to clone.
    [IF_EQUAL, 0, 1, number("clone3")],
    [RETURN, 0, 0, ENOSYS],
    [IF_EQUAL, 0, 4, number("clone")],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [AND, 0, 0, NEW_NAMESPACES],
    [IF_EQUAL, 0, 1, 0],
    [RETURN, 0, 0, ALLOW],
    // Whatever was loaded: a clone with other flags finds no number below and is denied, as is any other call.
    [LOAD, 0, 0, NUMBER],
    [IF_EQUAL, 0, 2 + families.length * 2, number("socket")],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    ...families.flatMap((family): FilterInstruction[] => [
      [IF_EQUAL, 0, 1, family],
      [RETURN, 0, 0, ALLOW],
    ]),
    [RETURN, 0, 0, EPERM],
    ...rangesOf(allowed).flatMap(([first, last]): FilterInstruction[] => [
      [IF_AT_LEAST, 0, 2, first],
      [IF_ABOVE, 1, 0, last],
      [RETURN, 0, 0, ALLOW],
    ]),
    // Numbers of x32 are above all others, and denied too.
    [IF_AT_LEAST, 2, 0, X32_BIT],
    [IF_ABOVE, 0, 1, LAST_KNOWN],
    [RETURN, 0, 0, ENOSYS],
    [RETURN, 0, 0, EPERM],
  ];
  return filterProgram(instructions);
}

/** Runs of numbers that follow each other. */
function rangesOf(numbers: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = [];
  for (const one of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && one <= last[1] + 1) last[1] = one;
    else ranges.push([one, one]);
  }
  return ranges;
}
