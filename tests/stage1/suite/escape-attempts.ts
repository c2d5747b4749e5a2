/**
 * Ways out of a pod that root in it may try, by the names of escape.c: what answers in a pod, which defence that is, and a pod that lacks exactly this defence, in which the same attempt
 * gets through. docs/escape-attempts.md is made of this list.
 */

/** How the pod differs in which an attempt gets through. */
export type Without =
  /** The app has this capability, and with it the system calls that it is for. */
  | `CAP_${string}`
  /** No system call filter: --insecure-options=seccomp, and none of systemd-nspawn's. */
  | "filters"
  /** --insecure-options=paths: nothing hidden or read-only, no device policy. */
  | "paths"
  | "--net=host"
  | "--ipc=parent"
  /** The app's process stands outside of this one namespace of its pod; for the test alone, no flag does that. */
  | "pid namespace"
  | "mount namespace"
  | "cgroup namespace"
  /** The same flag left out. */
  | "--volume=…,readOnly=true"
  | "--readonly-rootfs=true"
  | "--caps-remove=CAP_NET_RAW"
  /** A flavor that only changes the root directory. */
  | "fly"
  /** Entered by nsenter(1), which is executed in the pod, in place of rkt enter. */
  | "nsenter";

export interface Attempt {
  readonly name: string;
  readonly what: string;
  /** The answers that count as refused. */
  readonly answer: readonly string[];
  readonly defence: string;
  readonly without: Without;
}

const CALL_AND_CAPABILITY = "system call filter and capabilities";
const FILTER = "system call filter";

function attempt(name: string, what: string, answer: string, defence: string, without: Without): Attempt {
  return { name, what, answer: answer.split("|"), defence, without };
}

const admin = (name: string, what: string) => attempt(name, what, "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_ADMIN");

export const ATTEMPTS: readonly Attempt[] = [
  admin("mount_tmpfs", "mount a file system"),
  admin("mount_proc", "mount a fresh /proc, without what is hidden in the pod's"),
  admin("remount_proc_sys", "remount /proc/sys writable"),
  admin("remount_volume", "remount a read-only volume writable"),
  admin("mount_cgroup", "mount the cgroup file system"),
  admin("unmount_hidden", "unmount what hides a kernel directory"),
  admin("fsopen_tmpfs", "mount by the newer calls (fsopen)"),
  admin("clone_tree", "clone a mount (open_tree)"),
  admin("set_mount_attributes", "clear the read-only attribute of a mount (mount_setattr)"),
  attempt("make_trusted_attribute", "set a trusted.* attribute", "EPERM", "capabilities", "CAP_SYS_ADMIN"),

  attempt("unshare_user", "make a user namespace (unshare), and with it all capabilities", "EPERM", FILTER, "filters"),
  attempt("clone_user", "the same by clone", "EPERM", FILTER, "filters"),
  attempt("clone3_user", "the same by clone3", "ENOSYS", FILTER, "filters"),
  admin("unshare_mounts", "make a mount namespace"),
  admin("join_namespace", "join a namespace (setns)"),
  admin("set_hostname", "set the host name"),
  attempt(
    "climb_out",
    "leave the root directory by a second chroot",
    "ENOENT",
    "mount namespace of the app's own",
    "fly",
  ),

  attempt("signal_host", "signal a process of the host", "ESRCH", "pid namespace", "pid namespace"),
  attempt("signal_host_by_descriptor", "the same by pidfd_open", "ESRCH", "pid namespace", "pid namespace"),
  attempt(
    "priority_of_host",
    "look up the scheduling of a process of the host",
    "ESRCH",
    "pid namespace",
    "pid namespace",
  ),
  attempt("trace_init", "trace the pod's init (ptrace)", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_PTRACE"),
  attempt("read_memory_of_init", "read its memory (process_vm_readv)", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_PTRACE"),
  attempt(
    "take_descriptor_of_init",
    "take a descriptor of its (pidfd_getfd)",
    "EPERM",
    CALL_AND_CAPABILITY,
    "CAP_SYS_PTRACE",
  ),
  attempt(
    "compare_with_init",
    "compare kernel objects with its (kcmp)",
    "EPERM",
    CALL_AND_CAPABILITY,
    "CAP_SYS_PTRACE",
  ),
  attempt("root_of_init", "walk through /proc/1/root", "EACCES|EPERM", "capabilities", "CAP_SYS_PTRACE"),
  attempt("program_of_init", "open /proc/1/exe", "EACCES|EPERM", "capabilities", "CAP_SYS_PTRACE"),
  attempt("memory_of_init", "open /proc/1/mem", "EACCES|EPERM", "capabilities", "CAP_SYS_PTRACE"),
  attempt("environment_of_init", "open /proc/1/environ", "EACCES|EPERM", "capabilities", "CAP_SYS_PTRACE"),

  attempt(
    "write_core_pattern",
    "set the program that gets core dumps, run as root of the host",
    "EROFS",
    "read-only /proc/sys",
    "paths",
  ),
  attempt("write_panic", "make the kernel restart on an error", "EROFS", "read-only /proc/sys", "paths"),
  attempt("write_overcommit", "change the host's memory settings", "EROFS", "read-only /proc/sys", "paths"),
  attempt("write_sysrq", "write to /proc/sysrq-trigger", "EROFS|ENOENT", "read-only /proc/sysrq-trigger", "paths"),
  attempt("write_irq", "move interrupts (/proc/irq)", "EROFS", "read-only /proc/irq", "paths"),
  attempt("write_sys", "change a setting below /sys", "EROFS", "read-only /sys of the pod's own", "mount namespace"),
  attempt("read_kallsyms", "read the kernel's symbols", "nothing|EACCES", "hidden paths", "paths"),
  attempt("list_modules", "list the kernel's modules and their settings", "nothing|EACCES", "hidden paths", "paths"),
  attempt("list_power", "reach /sys/power", "nothing|EACCES", "hidden paths", "paths"),
  attempt("list_file_systems", "reach /sys/fs", "nothing|EACCES", "hidden paths", "paths"),
  attempt("read_kernel_log", "read the kernel's log (syslog)", "EPERM", "capabilities", "CAP_SYSLOG"),
  attempt(
    "write_release_agent",
    "set a cgroup's release_agent, run as root of the host, with CAP_SYS_ADMIN",
    "ENOENT",
    "cgroup namespace",
    "cgroup namespace",
  ),

  attempt("open_disk", "make a node for the host's disk and open it", "EPERM", "device policy", "paths"),
  attempt("open_kmsg", "make a node for /dev/kmsg and write to it", "EPERM", "device policy", "paths"),
  attempt("make_node", "make a device node", "EPERM", "device policy", "paths"),
  attempt("push_input", "push input into the terminal (TIOCSTI)", "EPERM", "capabilities", "CAP_SYS_ADMIN"),
  attempt("hang_up", "hang up the terminal (vhangup)", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_TTY_CONFIG"),

  attempt("add_key", "add a key to a keyring", "EPERM", FILTER, "filters"),
  attempt("session_keyring", "reach the user's keyring (keyctl)", "EPERM", FILTER, "filters"),
  attempt("request_key", "have the host's key program started (request_key)", "EPERM", FILTER, "filters"),
  attempt("load_module", "load a kernel module", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_MODULE"),
  attempt("load_module_file", "the same from a file", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_MODULE"),
  attempt("restart_machine", "reboot", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_BOOT"),
  attempt("set_clock", "adjust the clock", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_TIME"),
  attempt("set_time", "set the time", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_TIME"),
  attempt(
    "open_by_handle",
    "open a file of the host by its handle (open_by_handle_at)",
    "EPERM",
    CALL_AND_CAPABILITY,
    "CAP_DAC_READ_SEARCH",
  ),
  attempt("make_bpf_map", "use bpf", "EPERM", CALL_AND_CAPABILITY, "CAP_BPF"),
  attempt("open_perf_event", "watch the whole machine (perf_event_open)", "EPERM", CALL_AND_CAPABILITY, "CAP_PERFMON"),
  attempt("make_userfaultfd", "use userfaultfd", "EPERM", FILTER, "filters"),
  attempt("make_io_uring", "use io_uring", "EPERM", FILTER, "filters"),
  admin("watch_file_system", "hold up others' file accesses (fanotify)"),
  attempt("set_quota", "call quotactl", "EPERM", FILTER, "filters"),
  attempt("account_processes", "switch process accounting", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_PACCT"),
  attempt(
    "raise_privilege_level",
    "get at input and output ports (iopl)",
    "EPERM",
    CALL_AND_CAPABILITY,
    "CAP_SYS_RAWIO",
  ),
  attempt(
    "raise_priority",
    "take precedence over the host's processes",
    "EACCES|EPERM",
    "capabilities",
    "CAP_SYS_NICE",
  ),
  attempt("move_memory", "move memory between nodes (migrate_pages)", "EPERM", CALL_AND_CAPABILITY, "CAP_SYS_NICE"),

  attempt("raw_socket", "open a raw socket", "EPERM", "--caps-remove=CAP_NET_RAW", "--caps-remove=CAP_NET_RAW"),
  attempt("packet_socket", "open a packet socket", "EPERM", "--caps-remove=CAP_NET_RAW", "--caps-remove=CAP_NET_RAW"),
  attempt("change_interface", "change a network interface", "EPERM", "capabilities", "CAP_NET_ADMIN"),
  attempt(
    "abstract_socket",
    "connect to an abstract socket of the host",
    "ECONNREFUSED",
    "network namespace",
    "--net=host",
  ),
  attempt(
    "loopback_of_host",
    "connect to a service on the host's loopback address",
    "ECONNREFUSED|ENETUNREACH",
    "network namespace",
    "--net=host",
  ),
  attempt("shared_memory", "attach to shared memory of the host", "ENOENT", "IPC namespace", "--ipc=parent"),

  attempt("read_host_file", "read a file of the host", "ENOENT", "mount namespace", "mount namespace"),
  attempt("read_other_pod", "read a file of another pod", "ENOENT", "mount namespace", "mount namespace"),
  attempt(
    "follow_link",
    "follow a link on a volume to a file of the host",
    "ENOENT",
    "mount namespace",
    "mount namespace",
  ),
  attempt(
    "write_read_only_volume",
    "write to a read-only volume",
    "EROFS",
    "--volume=…,readOnly=true",
    "--volume=…,readOnly=true",
  ),
  attempt(
    "make_in_root",
    "change the app's own root directory",
    "EROFS",
    "--readonly-rootfs=true",
    "--readonly-rootfs=true",
  ),

  attempt(
    "overwrite_runtime",
    "overwrite the program that enters the pod (CVE-2019-5736), with CAP_SYS_PTRACE",
    "ENOENT",
    "nothing of the host's is executed in a pod",
    "nsenter",
  ),
];
