/**
 * Named sets of system calls. The default follows what engines allow today without further capabilities: what ordinary programs need, and nothing that reaches
 * the kernel's modules, clocks, keys, tracing, namespaces or io_uring. Names that the pod's libseccomp does not know are skipped by systemd.
 */

import { DENIED_CALLS } from "./denied-calls.ts";

const FILES = `access chdir chmod chown chown32 chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64
  fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr
  fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
  inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir
  mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
  readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync
  sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev`;

const WAITING = `epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 io_cancel io_destroy
  io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
  signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`;

const MEMORY = `brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap msync munlock munlockall munmap
  pkey_alloc pkey_free pkey_mprotect remap_file_pages`;

const PROCESSES = `alarm arch_prctl capget capset clone clone3 execve execveat exit exit_group fork futex futex_time64 futex_waitv get_robust_list
  get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority
  getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
  landlock_create_ruleset landlock_restrict_self modify_ldt nanosleep pause personality pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease
  restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
  sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area
  set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
  setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaction sigaltstack signal sigpending sigprocmask
  sigreturn sigsuspend sysinfo syslog tgkill times tkill ugetrlimit uname vfork wait4 waitid waitpid`;

const CLOCKS = `clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getrandom gettimeofday time timer_create
  timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64`;

const TALKING = `accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget
  semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socket socketcall socketpair`;

const ARM = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

const DANGEROUS = `acct add_key adjtimex bpf clock_adjtime clock_settime create_module delete_module finit_module fsconfig fsmount fsopen fspick
  get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie
  mbind mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace
  query_module quotactl reboot request_key set_mempolicy setns settimeofday stime swapon swapoff sysfs _sysctl umount umount2 unshare uselib userfaultfd
  ustat vm86 vm86old`;

const words = (text: string): string[] => text.trim().split(/\s+/);

const DENIED: readonly string[] = words(DANGEROUS);

export const DEFAULT_CALLS: readonly string[] = [FILES, WAITING, MEMORY, PROCESSES, CLOCKS, TALKING]
  .flatMap(words)
  .concat(process.arch === "arm64" ? words(ARM) : []);

/** What a capability is for is allowed with it (as Docker's default profile does): kept without its calls, it would be of no use. */
export const CALLS_BY_CAPABILITY: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    CAP_BPF: "bpf",
    CAP_DAC_READ_SEARCH: "open_by_handle_at",
    CAP_PERFMON: "perf_event_open",
    CAP_SYS_ADMIN: `bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree perf_event_open quotactl
      quotactl_fd setdomainname sethostname setns umount umount2 unshare`,
    CAP_SYS_BOOT: "reboot",
    CAP_SYS_MODULE: "delete_module finit_module init_module",
    CAP_SYS_NICE: "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    CAP_SYS_PACCT: "acct",
    CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    CAP_SYS_RAWIO: "ioperm iopl",
    CAP_SYS_TIME: "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday stime",
    CAP_SYS_TTY_CONFIG: "vhangup",
  }).map(([name, calls]) => [name, words(calls)]),
);

/** The wildcards of seccomp isolators; "@systemd/…" are sets of systemd itself (systemd.exec(5), SystemCallFilter=). */
export const SECCOMP_SETS: ReadonlyMap<string, readonly string[]> = new Map([
  ["@appc.io/all", []],
  ["@appc.io/empty", []],
  ["@docker/default-whitelist", DEFAULT_CALLS],
  ["@rkt/default-whitelist", DEFAULT_CALLS],
  ["@docker/default-blacklist", DENIED],
  ["@rkt/default-blacklist", DENIED],
  ["@systemd/default-whitelist", ["@default"]],
  ...["clock", "mount", "network-io", "obsolete", "privileged", "process", "raw-io"].map(
    (name): [string, readonly string[]] => [`@systemd/${name}`, [`@${name}`]],
  ),
]);

let known: ReadonlySet<string> | undefined;

/** True for the name of a system call of Linux. systemd skips names it does not know: a filter with a misspelt one would allow, or refuse, something else. */
export function isSystemCall(name: string): boolean {
  known ??= new Set([...DEFAULT_CALLS, ...DENIED_CALLS.flatMap(({ calls }) => calls), ...words(ARM)]);
  return known.has(name);
}
