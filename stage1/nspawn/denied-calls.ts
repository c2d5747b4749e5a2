/** Every system call that the default filter denies, and why. docs/system-calls.md is made of it; a test holds both, and the filter, together. */

export interface DeniedCalls {
  readonly what: string;
  readonly why: string;
  readonly calls: readonly string[];
}

const words = (text: string): string[] => text.trim().split(/\s+/);

export const DENIED_CALLS: readonly DeniedCalls[] = [
  {
    what: "mounts",
    why: "what is mounted decides what a path means; with a namespace of its own a process could uncover what rkt hides and reach much of the kernel's file system code",
    calls: words(
      `fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount umount2 oldumount`,
    ),
  },
  {
    what: "namespaces",
    why: "a user namespace gives every capability over it, and so the parts of the kernel that only root reaches otherwise; clone with a new namespace is denied as well, clone3, whose arguments a filter cannot see, gives ENOSYS",
    calls: words("setns unshare"),
  },
  {
    what: "modules and kernels",
    why: "code for the kernel itself, which every pod shares",
    calls: words(
      `create_module delete_module finit_module init_module get_kernel_syms query_module kexec_file_load kexec_load reboot`,
    ),
  },
  {
    what: "other processes",
    why: "tracing and another process's memory and descriptors: a way around that process's own rights and filter",
    calls: words("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
  },
  {
    what: "keys",
    why: "keyrings are not kept apart by namespaces: keys of other pods and of the host",
    calls: words("add_key keyctl request_key"),
  },
  {
    what: "kernel programs and counters",
    why: "they see the whole machine, and have been among the kernel's most attacked parts",
    calls: words("bpf lookup_dcookie perf_event_open userfaultfd"),
  },
  {
    what: "io_uring",
    why: "calls that are made through its rings pass no filter at all",
    calls: words("io_uring_enter io_uring_register io_uring_setup"),
  },
  {
    what: "files by handle, watches of whole file systems",
    why: "a handle opens a file without a path, so also one outside of the app's root",
    calls: words("fanotify_init open_by_handle_at"),
  },
  {
    what: "clocks",
    why: "the machine's time is everybody's",
    calls: words("adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday stime"),
  },
  {
    what: "swap, quotas, accounting",
    why: "settings of the whole machine",
    calls: words("acct quotactl quotactl_fd swapoff swapon"),
  },
  {
    what: "names of the host",
    why: "the name is the pod's, and rkt sets it",
    calls: words("setdomainname sethostname"),
  },
  {
    what: "placing memory",
    why: "tells and takes away memory of other processes' nodes",
    calls: words("get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node"),
  },
  {
    what: "hardware",
    why: "ports and interrupts of the machine",
    calls: words(
      "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write s390_pci_mmio_read s390_pci_mmio_write spu_create spu_run rtas vm86 vm86old",
    ),
  },
  {
    what: "terminals of others",
    why: "hangs up a terminal for all who use it",
    calls: words("vhangup"),
  },
  {
    what: "newer calls",
    why: "not yet looked at; programs that try them fall back to what was there before",
    calls:
      words(`cachestat file_getattr file_setattr futex_requeue futex_wait futex_wake getxattrat listmount listxattrat lsm_get_self_attr lsm_list_modules
      lsm_set_self_attr map_shadow_stack mseal removexattrat setxattrat statmount uretprobe`),
  },
  {
    what: "older forms",
    why: "no program of this age needs them; the less is reachable, the better",
    calls: words(
      `_sysctl bdflush idle nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname readdir sgetmask ssetmask sysfs uselib ustat`,
    ),
  },
  {
    what: "other processors' calls",
    why: "this one has none of them, or a filter for it was never tried",
    calls:
      words(`arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush getdomainname getdtablesize gethostname getpagesize multiplexer riscv_flush_icache
      riscv_hwprobe s390_guarded_storage s390_runtime_instr s390_sthyi set_tls setpgrp subpage_prot swapcontext switch_endian sync_file_range2
      sys_debug_setcontext syscall timerfd`),
  },
  {
    what: "never made",
    why: "numbers that Linux keeps for calls that it does not have",
    calls: words(
      "afs_syscall break ftime getpmsg gtty lock mpx prof profil putpmsg security stty tuxcall ulimit vserver",
    ),
  },
];
