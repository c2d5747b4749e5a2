/*
 * Attempts to get out of a pod, for tests: `escape [SETTING=VALUE…] [ATTEMPT…]` makes each attempt (default: all) in a process of its own and prints a line
 * "ATTEMPT done" or "ATTEMPT ERRNO"; "nothing": what was opened is empty. It changes nothing where it gets through: values are written back as they are, files are
 * only opened. Which answer is right is said in escapes.ts. Settings: see `setting`. "wait": prints "waiting" and stays.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Not an errno: there was nothing to see. */
#define NOTHING 250

static int argument_count;
static char **arguments;

static const char *setting(const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (int i = 1; i < argument_count; i++)
    if (strncmp(arguments[i], name, length) == 0 && arguments[i][length] == '=') return arguments[i] + length + 1;
  return otherwise;
}

static int number(const char *name) { return atoi(setting(name, "0")); }
static int answer(long result) { return result < 0 ? errno : 0; }
/* For calls that are given nonsense: any answer but these two comes from the kernel's own code behind the check. */
static int reached(long result) { return result < 0 && (errno == EPERM || errno == EACCES) ? errno : 0; }
static int opens(const char *path, int flags) { return answer(open(path, flags | O_CLOEXEC)); }

static int shows(const char *path) {
  char bytes[256];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  ssize_t length = read(fd, bytes, sizeof bytes);
  return length < 0 ? errno : length == 0 ? NOTHING : 0;
}

static int lists(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) return errno;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') return 0;
  return NOTHING;
}

static const char *data(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", setting("data", "/data"), name);
  return path;
}

/* --- mounts --- */

static int mount_tmpfs(void) { return answer(mount("none", "/tmp", "tmpfs", 0, NULL)); }
static int mount_proc(void) { return answer(mount("none", "/tmp", "proc", 0, NULL)); }
static int remount_proc_sys(void) { return answer(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL)); }
static int remount_volume(void) { return answer(mount(NULL, "/ro", NULL, MS_REMOUNT | MS_BIND, NULL)); }
static int mount_cgroup(void) { return answer(mount("none", "/tmp", "cgroup2", 0, NULL)); }
static int unmount_hidden(void) { return answer(umount2("/sys/module", MNT_DETACH)); }
static int fsopen_tmpfs(void) { return answer(syscall(SYS_fsopen, "tmpfs", 0)); }
static int clone_tree(void) { return answer(syscall(SYS_open_tree, AT_FDCWD, "/data", 1)); }
static int set_mount_attributes(void) {
  struct { unsigned long long set, clear, propagation, userns; } attributes = {0, 1, 0, 0};
  return answer(syscall(SYS_mount_setattr, AT_FDCWD, "/ro", 0, &attributes, sizeof attributes));
}
static int make_trusted_attribute(void) { return answer(setxattr("/", "trusted.escape", "y", 1, 0)); }

/* --- namespaces --- */

static int unshare_user(void) { return answer(unshare(CLONE_NEWUSER)); }
static int unshare_mounts(void) { return answer(unshare(CLONE_NEWNS)); }
static int clone_user(void) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return answer(pid);
}
static int clone3_user(void) {
  struct clone_args how = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &how, sizeof how);
  if (pid == 0) _exit(0);
  return answer(pid);
}
static int join_namespace(void) {
  int fd = open("/proc/self/ns/uts", O_RDONLY);
  return fd < 0 ? errno : answer(setns(fd, 0));
}
/* The old way out of a chroot: a second one below leaves the current directory outside of it. */
static int climb_out(void) {
  struct stat before, after;
  if (stat("/", &before) < 0) return errno;
  mkdir("/climb", 0755);
  int root = open("/", O_RDONLY | O_DIRECTORY);
  if (chroot("/climb") < 0 || fchdir(root) < 0) return errno;
  for (int i = 0; i < 64; i++)
    if (chdir("..") < 0) return errno;
  if (stat(".", &after) < 0) return errno;
  return before.st_dev == after.st_dev && before.st_ino == after.st_ino ? ENOENT : 0;
}
static int set_hostname(void) {
  char name[256];
  gethostname(name, sizeof name);
  return answer(sethostname(name, strlen(name)));
}

/* --- other processes --- */

static int signal_host(void) { return answer(kill(number("pid"), 0)); }
static int signal_host_by_descriptor(void) { return answer(syscall(SYS_pidfd_open, number("pid"), 0)); }
static int priority_of_host(void) {
  errno = 0;
  return sched_getscheduler(number("pid")) < 0 ? errno : 0;
}
static int trace_init(void) { return answer(ptrace(PTRACE_SEIZE, 1, 0, 0)); }
static int read_memory_of_init(void) {
  char byte;
  unsigned long long start = 0;
  FILE *auxiliary = fopen("/proc/1/maps", "r");
  if (auxiliary == NULL) {
    /* Without the map, any address: the right to look is checked first. */
    start = 0x400000;
  } else if (fscanf(auxiliary, "%llx", &start) != 1) start = 0x400000;
  struct iovec here = {&byte, 1}, there = {(void *)start, 1};
  return reached(process_vm_readv(1, &here, 1, &there, 1, 0));
}
static int take_descriptor_of_init(void) {
  long fd = syscall(SYS_pidfd_open, 1, 0);
  return fd < 0 ? errno : answer(syscall(SYS_pidfd_getfd, fd, 0, 0));
}
static int compare_with_init(void) { return answer(syscall(SYS_kcmp, getpid(), 1, 1 /* KCMP_VM */, 0, 0)); }
static int root_of_init(void) { return lists("/proc/1/root/"); }
static int program_of_init(void) { return opens("/proc/1/exe", O_RDONLY); }
static int memory_of_init(void) { return opens("/proc/1/mem", O_RDWR); }
static int environment_of_init(void) { return opens("/proc/1/environ", O_RDONLY); }
/*
 * CVE-2019-5736: the program that entered the pod, found by its number on the host, is opened and, when it is not busy any more, opened for writing. For the time
 * of somebody's visit.
 */
static int overwrite_runtime(void) {
  unsigned long long device = strtoull(setting("device", "0"), NULL, 10), inode = strtoull(setting("inode", "0"), NULL, 10);
  for (int round = 0; round < 40000; round++) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) return errno;
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
      char path[300];
      struct stat found;
      snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || stat(path, &found) < 0) continue;
      if (found.st_dev != device || found.st_ino != inode) continue;
      int handle = open(path, O_PATH | O_CLOEXEC);
      snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
      for (int wait = 0; handle >= 0 && wait < 1000; wait++, usleep(10000)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) return 0;
        if (errno != ETXTBSY) return errno;
      }
    }
    closedir(processes);
    if (access("/data/visited", F_OK) == 0) return ENOENT;
    usleep(250);
  }
  return ETIMEDOUT;
}

/* --- the kernel's files --- */

static int write_core_pattern(void) { return opens("/proc/sys/kernel/core_pattern", O_WRONLY); }
static int write_panic(void) { return opens("/proc/sys/kernel/panic", O_WRONLY); }
static int write_overcommit(void) { return opens("/proc/sys/vm/overcommit_memory", O_WRONLY); }
static int write_sysrq(void) { return opens("/proc/sysrq-trigger", O_WRONLY); }
static int write_irq(void) { return opens("/proc/irq/default_smp_affinity", O_WRONLY); }
static int write_sys(void) { return opens("/sys/kernel/mm/ksm/run", O_WRONLY); }
static int read_kallsyms(void) { return shows("/proc/kallsyms"); }
static int list_modules(void) { return lists("/sys/module"); }
static int list_power(void) { return lists("/sys/power"); }
static int list_file_systems(void) { return lists("/sys/fs"); }
static int read_kernel_log(void) { return answer(klogctl(1 /* SYSLOG_ACTION_OPEN */, NULL, 0)); }
/* On cgroup v1 only: the kernel executes what this file names, as root of the host, when a cgroup becomes empty. */
static int write_release_agent(void) {
  mkdir("/tmp/cgroup", 0700);
  if (mount("none", "/tmp/cgroup", "cgroup", 0, "memory") < 0) return errno;
  int answer = opens("/tmp/cgroup/release_agent", O_WRONLY);
  umount2("/tmp/cgroup", MNT_DETACH);
  return answer;
}

/* --- devices --- */

static int opens_node(mode_t type, int major, int minor, int flags) {
  /* The app's root is mounted nodev, its /dev is not. */
  unlink("/dev/node");
  if (mknod("/dev/node", type | 0600, makedev(major, minor)) < 0) return errno;
  int answer = opens("/dev/node", flags);
  unlink("/dev/node");
  return answer;
}
static int open_disk(void) { return opens_node(S_IFBLK, number("major"), number("minor"), O_RDONLY); }
static int open_kmsg(void) { return opens_node(S_IFCHR, 1, 11, O_WRONLY); }
static int make_node(void) {
  unlink("/dev/shm/made");
  return answer(mknod("/dev/shm/made", S_IFBLK | 0600, makedev(number("major"), number("minor"))));
}
static int push_input(void) {
  return answer(ioctl(1, TIOCSTI, "\n"));
}
static int hang_up(void) { return reached(syscall(SYS_vhangup)); }

/* --- system calls that reach the whole machine --- */

static int add_key(void) { return answer(syscall(SYS_add_key, "user", "escape", "x", 1, -2 /* KEY_SPEC_PROCESS_KEYRING */)); }
static int session_keyring(void) { return answer(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -4 /* KEY_SPEC_USER_KEYRING */, 1)); }
static int request_key(void) { return reached(syscall(SYS_request_key, "user", "escape", NULL, -2)); }
static int load_module(void) { return reached(syscall(SYS_init_module, "not a module", 12, "")); }
static int load_module_file(void) { return reached(syscall(SYS_finit_module, open("/bin/escape", O_RDONLY), "", 0)); }
static int restart_machine(void) { return reached(syscall(SYS_reboot, 0, 0, 0, NULL)); }
static int set_clock(void) {
  struct timex now = {.modes = 0};
  if (clock_adjtime(CLOCK_REALTIME, &now) < 0) return errno;
  now.modes = ADJ_FREQUENCY;
  return answer(clock_adjtime(CLOCK_REALTIME, &now));
}
static int set_time(void) { return reached(syscall(SYS_clock_settime, CLOCK_REALTIME, &(struct timespec){-1, -1})); }
static int open_by_handle(void) {
  struct { struct file_handle handle; unsigned char bytes[128]; } found = {.handle.handle_bytes = 128};
  int mount_id, directory = open("/data", O_RDONLY | O_DIRECTORY);
  if (directory < 0 || name_to_handle_at(directory, "file", &found.handle, &mount_id, 0) < 0) return errno;
  return answer(open_by_handle_at(directory, &found.handle, O_RDONLY));
}
static int make_bpf_map(void) {
  struct { unsigned type, key, value, entries; char rest[56]; } map = {2 /* array */, 4, 4, 1, {0}};
  return answer(syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, &map, sizeof map));
}
static int open_perf_event(void) {
  struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_CPU_CLOCK};
  return answer(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}
static int make_userfaultfd(void) { return answer(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */)); }
static int make_io_uring(void) {
  struct io_uring_params how = {0};
  return answer(syscall(SYS_io_uring_setup, 1, &how));
}
static int watch_file_system(void) { return answer(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY)); }
static int set_quota(void) { return reached(syscall(SYS_quotactl, 0x800002 << 8, NULL, 0, NULL)); }
static int account_processes(void) { return reached(acct("/nowhere/at/all")); }
static int raise_privilege_level(void) {
#ifdef SYS_iopl
  return reached(syscall(SYS_iopl, 3));
#else
  return EPERM;
#endif
}
static int raise_priority(void) { return answer(setpriority(PRIO_PROCESS, 0, -5)); }
static int move_memory(void) { return reached(syscall(SYS_migrate_pages, 0, 0, NULL, NULL)); }

/* --- network and IPC --- */

static int raw_socket(void) { return answer(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int packet_socket(void) { return answer(socket(AF_PACKET, SOCK_RAW, 0)); }
static int change_interface(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return errno;
  return answer(ioctl(fd, SIOCSIFFLAGS, &request));
}
static int abstract_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *name = setting("abstract", "");
  memcpy(address.sun_path + 1, name, strlen(name));
  return answer(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}
static int loopback_of_host(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number("tcp")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return answer(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
}
static int shared_memory(void) { return answer(shmget(number("key"), 1, 0)); }

/* --- files of others --- */

static int read_host_file(void) { return shows(setting("secret", "/nowhere")); }
static int read_other_pod(void) { return shows(setting("other", "/nowhere")); }
static int follow_link(void) { return shows(data("link")); }
static int write_read_only_volume(void) { return opens("/ro/file", O_WRONLY); }
static int make_in_root(void) { return answer(open("/made-in-root", O_WRONLY | O_CREAT, 0600)); }

static const struct { const char *name; int (*make)(void); } ATTEMPTS[] = {
#define ATTEMPT(name) {#name, name}
  ATTEMPT(mount_tmpfs), ATTEMPT(mount_proc), ATTEMPT(remount_proc_sys), ATTEMPT(remount_volume), ATTEMPT(mount_cgroup), ATTEMPT(unmount_hidden),
  ATTEMPT(fsopen_tmpfs), ATTEMPT(clone_tree), ATTEMPT(set_mount_attributes), ATTEMPT(make_trusted_attribute),
  ATTEMPT(unshare_user), ATTEMPT(unshare_mounts), ATTEMPT(clone_user), ATTEMPT(clone3_user), ATTEMPT(join_namespace), ATTEMPT(climb_out), ATTEMPT(set_hostname),
  ATTEMPT(signal_host), ATTEMPT(signal_host_by_descriptor), ATTEMPT(priority_of_host), ATTEMPT(trace_init), ATTEMPT(read_memory_of_init),
  ATTEMPT(take_descriptor_of_init), ATTEMPT(compare_with_init), ATTEMPT(root_of_init), ATTEMPT(program_of_init), ATTEMPT(memory_of_init),
  ATTEMPT(environment_of_init), ATTEMPT(overwrite_runtime),
  ATTEMPT(write_core_pattern), ATTEMPT(write_panic), ATTEMPT(write_overcommit), ATTEMPT(write_sysrq), ATTEMPT(write_irq), ATTEMPT(write_sys),
  ATTEMPT(read_kallsyms), ATTEMPT(list_modules), ATTEMPT(list_power), ATTEMPT(list_file_systems), ATTEMPT(read_kernel_log), ATTEMPT(write_release_agent),
  ATTEMPT(open_disk), ATTEMPT(open_kmsg), ATTEMPT(make_node), ATTEMPT(push_input), ATTEMPT(hang_up),
  ATTEMPT(add_key), ATTEMPT(session_keyring), ATTEMPT(request_key), ATTEMPT(load_module), ATTEMPT(load_module_file),
  ATTEMPT(restart_machine), ATTEMPT(set_clock), ATTEMPT(set_time), ATTEMPT(open_by_handle), ATTEMPT(make_bpf_map), ATTEMPT(open_perf_event),
  ATTEMPT(make_userfaultfd), ATTEMPT(make_io_uring), ATTEMPT(watch_file_system), ATTEMPT(set_quota), ATTEMPT(account_processes),
  ATTEMPT(raise_privilege_level), ATTEMPT(raise_priority), ATTEMPT(move_memory),
  ATTEMPT(raw_socket), ATTEMPT(packet_socket), ATTEMPT(change_interface), ATTEMPT(abstract_socket), ATTEMPT(loopback_of_host), ATTEMPT(shared_memory),
  ATTEMPT(read_host_file), ATTEMPT(read_other_pod), ATTEMPT(follow_link), ATTEMPT(write_read_only_volume), ATTEMPT(make_in_root),
};

/* For a process that was put into a pod's namespaces from outside: the capabilities of an app. */
static void bound(unsigned long long capabilities) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  unsigned low = capabilities & 0xffffffff, high = capabilities >> 32;
  struct __user_cap_data_struct sets[2] = {{low, low, 0}, {high, high, 0}};
  for (int one = 0; one < 64; one++)
    if (!(capabilities >> one & 1)) prctl(PR_CAPBSET_DROP, one, 0, 0, 0);
  if (syscall(SYS_capset, &header, sets) < 0) _exit(99);
}

static void attempt(const char *name, int (*make)(void)) {
  const char *prefix = setting("as", "");
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(make());
  }
  int status;
  waitpid(child, &status, 0);
  char line[200];
  const char *how = !WIFEXITED(status)                 ? strsignal(WTERMSIG(status))
                    : WEXITSTATUS(status) == 0         ? "done"
                    : WEXITSTATUS(status) == NOTHING   ? "nothing"
                                                       : strerrorname_np(WEXITSTATUS(status));
  /* One write, so that the lines of several apps do not mix. */
  int length = snprintf(line, sizeof line, "%s%s%s %s\n", prefix, *prefix ? " " : "", name, how ? how : "?");
  if (write(1, line, length) < 0) _exit(98);
}

int main(int count, char **words) {
  argument_count = count;
  arguments = words;
  int named = 0;
  if (*setting("bound", "")) bound(strtoull(setting("bound", "0"), NULL, 16));
  for (int i = 1; i < count; i++) {
    if (strchr(words[i], '=') != NULL) continue;
    named = 1;
    if (strcmp(words[i], "names") == 0) {
      for (size_t one = 0; one < sizeof ATTEMPTS / sizeof *ATTEMPTS; one++) puts(ATTEMPTS[one].name);
    } else if (strcmp(words[i], "share") == 0) {
      printf("%d\n", shmget(number("key"), 1, IPC_CREAT | IPC_EXCL | 0600));
    } else if (strcmp(words[i], "unshare") == 0) {
      shmctl(shmget(number("key"), 1, 0), IPC_RMID, NULL);
    } else if (strcmp(words[i], "wait") == 0) {
      puts("waiting");
      fflush(stdout);
      for (;;) pause();
    } else
      for (size_t one = 0; one < sizeof ATTEMPTS / sizeof *ATTEMPTS; one++)
        if (strcmp(words[i], ATTEMPTS[one].name) == 0) attempt(words[i], ATTEMPTS[one].make);
  }
  for (size_t one = 0; !named && one < sizeof ATTEMPTS / sizeof *ATTEMPTS; one++)
    if (ATTEMPTS[one].make != overwrite_runtime) attempt(ATTEMPTS[one].name, ATTEMPTS[one].make);
  return 0;
}
