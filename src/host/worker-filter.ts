/**
 * The system calls of a worker: what it needs and nothing else, by a filter (seccomp(2)) that binds every thread from its first line on. Measured with strace(1) over fetching, verifying and
 * unpacking of every kind, and rounded up to families of calls, so that another C library, kernel or runtime does not break a fetch. What is missing on purpose: everything that mounts, makes
 * or joins namespaces, traces, loads code into the kernel, reaches keys, clocks, other processes' memory or files by handle, io_uring, userfaultfd, bpf. Denied calls fail with EPERM.
 */

import { isErrno } from "./errno.ts";
import { type FilterInstruction, filterProgram } from "./filter-program.ts";
import type { Host } from "./host.ts";

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

// struct seccomp_data: the call's number, the architecture, and from 16 the arguments, 64 bits each. Codes of classic BPF as in linux/bpf_common.h.
const [LOAD, AND, IF_EQUAL, IF_ABOVE, IF_AT_LEAST, RETURN] = [0x20, 0x54, 0x15, 0x25, 0x35, 0x06];
const [NUMBER, ARCHITECTURE, FIRST_ARGUMENT] = [0, 4, 16];
const [ALLOW, EPERM, ENOSYS] = [0x7fff0000, 0x00050001, 0x00050026];
/** CLONE_NEWTIME is none of clone's flags; the others in one mask. */
const NEW_NAMESPACES = 0x7e020000;
/** The last call when this list was made (Linux 6.12). Programs that try a later one must see a kernel that lacks it, and fall back. */
const LAST_KNOWN = 466;

/** struct sock_filter[]; undefined on a processor whose numbers are not known here. */
export function workerFilter(calls: WorkerCalls, arch: string): Uint8Array | undefined {
  const column = arch === "x64" ? 0 : arch === "arm64" ? 1 : undefined;
  if (column === undefined) return undefined;
  const number = (name: string) => NUMBERS[name]?.[column] ?? undefined;
  const allowed = [...new Set(CALLS[calls])].flatMap((name) => (name === "clone" ? [] : (number(name) ?? [])));
  const families = FAMILIES[calls];
  const instructions: FilterInstruction[] = [
    [LOAD, 0, 0, ARCHITECTURE],
    [IF_EQUAL, 1, 0, [0xc000003e, 0xc00000b7][column] ?? 0],
    [RETURN, 0, 0, EPERM],
    [LOAD, 0, 0, NUMBER],
    // clone3 hides its flags behind a pointer: the C library falls back to clone.
    [IF_EQUAL, 0, 1, 435],
    [RETURN, 0, 0, ENOSYS],
    [IF_EQUAL, 0, 4, [56, 220][column] ?? 0],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [AND, 0, 0, NEW_NAMESPACES],
    [IF_EQUAL, 0, 1, 0],
    [RETURN, 0, 0, ALLOW],
    // Whatever was loaded: a clone with other flags finds no number below and is denied, as is any other call.
    [LOAD, 0, 0, NUMBER],
    [IF_EQUAL, 0, 2 + families.length * 2, [41, 198][column] ?? 0],
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
    [IF_AT_LEAST, 2, 0, 0x40000000],
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

/** On x86-64 and arm64 (the kernel's syscall_64.tbl and asm-generic/unistd.h); null: the architecture has no such call. */
const NUMBERS: Readonly<Record<string, readonly [x64: number, arm64: number | null]>> = {
  accept: [43, 202],
  accept4: [288, 242],
  access: [21, null],
  alarm: [37, null],
  arch_prctl: [158, null],
  bind: [49, 200],
  brk: [12, 214],
  capget: [125, 90],
  capset: [126, 91],
  chdir: [80, 49],
  chmod: [90, null],
  chown: [92, null],
  clock_getres: [229, 114],
  clock_gettime: [228, 113],
  clock_nanosleep: [230, 115],
  clone: [56, 220],
  close: [3, 57],
  close_range: [436, 436],
  connect: [42, 203],
  copy_file_range: [326, 285],
  dup: [32, 23],
  dup2: [33, null],
  dup3: [292, 24],
  epoll_create: [213, null],
  epoll_create1: [291, 20],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  epoll_pwait2: [441, 441],
  epoll_wait: [232, null],
  eventfd: [284, null],
  eventfd2: [290, 19],
  execve: [59, 221],
  execveat: [322, 281],
  exit: [60, 93],
  exit_group: [231, 94],
  faccessat: [269, 48],
  faccessat2: [439, 439],
  fadvise64: [221, 223],
  fallocate: [285, 47],
  fchdir: [81, 50],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  fchown: [93, 55],
  fchownat: [260, 54],
  fcntl: [72, 25],
  fdatasync: [75, 83],
  fgetxattr: [193, 10],
  flistxattr: [196, 13],
  flock: [73, 32],
  fork: [57, null],
  fremovexattr: [199, 16],
  fsetxattr: [190, 7],
  fstat: [5, 80],
  fstatfs: [138, 44],
  fsync: [74, 82],
  ftruncate: [77, 46],
  futex: [202, 98],
  futex_waitv: [449, 449],
  futimesat: [261, null],
  get_robust_list: [274, 100],
  getcpu: [309, 168],
  getcwd: [79, 17],
  getdents: [78, null],
  getdents64: [217, 61],
  getegid: [108, 177],
  geteuid: [107, 175],
  getgid: [104, 176],
  getgroups: [115, 158],
  getitimer: [36, 102],
  getpeername: [52, 205],
  getpgid: [121, 155],
  getpgrp: [111, null],
  getpid: [39, 172],
  getppid: [110, 173],
  getpriority: [140, 141],
  getrandom: [318, 278],
  getresgid: [120, 150],
  getresuid: [118, 148],
  getrlimit: [97, 163],
  getrusage: [98, 165],
  getsid: [124, 156],
  getsockname: [51, 204],
  getsockopt: [55, 209],
  gettid: [186, 178],
  gettimeofday: [96, 169],
  getuid: [102, 174],
  getxattr: [191, 8],
  inotify_add_watch: [254, 27],
  inotify_init1: [294, 26],
  inotify_rm_watch: [255, 28],
  ioctl: [16, 29],
  kill: [62, 129],
  lchown: [94, null],
  lgetxattr: [192, 9],
  link: [86, null],
  linkat: [265, 37],
  listen: [50, 201],
  listxattr: [194, 11],
  llistxattr: [195, 12],
  lremovexattr: [198, 15],
  lseek: [8, 62],
  lsetxattr: [189, 6],
  lstat: [6, null],
  madvise: [28, 233],
  membarrier: [324, 283],
  memfd_create: [319, 279],
  mincore: [27, 232],
  mkdir: [83, null],
  mkdirat: [258, 34],
  mknod: [133, null],
  mknodat: [259, 33],
  mlock: [149, 228],
  mmap: [9, 222],
  mprotect: [10, 226],
  mremap: [25, 216],
  msync: [26, 227],
  munlock: [150, 229],
  munmap: [11, 215],
  nanosleep: [35, 101],
  newfstatat: [262, 79],
  open: [2, null],
  openat: [257, 56],
  openat2: [437, 437],
  pause: [34, null],
  pidfd_open: [434, 434],
  pidfd_send_signal: [424, 424],
  pipe: [22, null],
  pipe2: [293, 59],
  pkey_alloc: [330, 289],
  pkey_free: [331, 290],
  pkey_mprotect: [329, 288],
  poll: [7, null],
  ppoll: [271, 73],
  prctl: [157, 167],
  pread64: [17, 67],
  preadv: [295, 69],
  preadv2: [327, 286],
  prlimit64: [302, 261],
  pselect6: [270, 72],
  pwrite64: [18, 68],
  pwritev: [296, 70],
  pwritev2: [328, 287],
  read: [0, 63],
  readahead: [187, 213],
  readlink: [89, null],
  readlinkat: [267, 78],
  readv: [19, 65],
  recvfrom: [45, 207],
  recvmmsg: [299, 243],
  recvmsg: [47, 212],
  removexattr: [197, 14],
  rename: [82, null],
  renameat: [264, 38],
  renameat2: [316, 276],
  restart_syscall: [219, 128],
  rmdir: [84, null],
  rseq: [334, 293],
  rt_sigaction: [13, 134],
  rt_sigpending: [127, 136],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  rt_sigsuspend: [130, 133],
  rt_sigtimedwait: [128, 137],
  sched_get_priority_max: [146, 125],
  sched_get_priority_min: [147, 126],
  sched_getaffinity: [204, 123],
  sched_getattr: [315, 275],
  sched_getparam: [143, 121],
  sched_getscheduler: [145, 120],
  sched_setaffinity: [203, 122],
  sched_setparam: [142, 118],
  sched_setscheduler: [144, 119],
  sched_yield: [24, 124],
  select: [23, null],
  sendfile: [40, 71],
  sendmmsg: [307, 269],
  sendmsg: [46, 211],
  sendto: [44, 206],
  set_robust_list: [273, 99],
  set_tid_address: [218, 96],
  setfsgid: [123, 152],
  setfsuid: [122, 151],
  setgroups: [116, 159],
  setitimer: [38, 103],
  setpgid: [109, 154],
  setpriority: [141, 140],
  setrlimit: [160, 164],
  setsid: [112, 157],
  setsockopt: [54, 208],
  setxattr: [188, 5],
  shutdown: [48, 210],
  sigaltstack: [131, 132],
  signalfd: [282, null],
  signalfd4: [289, 74],
  socketpair: [53, 199],
  stat: [4, null],
  statfs: [137, 43],
  statx: [332, 291],
  symlink: [88, null],
  symlinkat: [266, 36],
  sync_file_range: [277, 84],
  syncfs: [306, 267],
  sysinfo: [99, 179],
  tgkill: [234, 131],
  time: [201, null],
  timer_create: [222, 107],
  timer_delete: [226, 111],
  timer_getoverrun: [225, 109],
  timer_gettime: [224, 108],
  timer_settime: [223, 110],
  timerfd_create: [283, 85],
  timerfd_gettime: [287, 87],
  timerfd_settime: [286, 86],
  times: [100, 153],
  tkill: [200, 130],
  truncate: [76, 45],
  umask: [95, 166],
  uname: [63, 160],
  unlink: [87, null],
  unlinkat: [263, 35],
  utime: [132, null],
  utimensat: [280, 88],
  utimes: [235, null],
  vfork: [58, null],
  wait4: [61, 260],
  waitid: [247, 95],
  write: [1, 64],
  writev: [20, 66],
};
