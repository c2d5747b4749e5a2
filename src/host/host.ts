/**
 * The one interface to the kernel. Everything that node:fs cannot do, or does by following what an image controls, is here; nothing outside this folder
 * calls the kernel directly. `linux.ts` is the real one, `recording.ts` the one for tests. Every method throws SystemCallError when the kernel refuses.
 *
 * All calls are synchronous and run on the calling (main) thread: see docs/decisions/0002-system-calls-through-ffi.md for the rules that follow.
 */

/** A path as text, or as the bytes an archive carried (file names are bytes; they need not be UTF-8). Must not contain NUL. */
export type HostPath = string | Uint8Array;

export interface FileStatus {
  /** Type and permission bits (inode(7)). */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  dev: number;
  rdev: number;
  ino: number;
  nlink: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
}

/** A point in time for utimensat(2). */
export interface Timestamp {
  seconds: number;
  nanoseconds: number;
}

export interface ResourceLimit {
  soft: bigint;
  hard: bigint;
}

export interface Host {
  // --- mounts (mount(2), umount2(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2)) ---
  mount(source: string | null, target: string, type: string | null, flags: number, data: string | null): void;
  umount(target: string, flags: number): void;
  /** A detached clone of the mount at `path`, as a descriptor (close-on-exec). */
  openTree(dirfd: number, path: string, flags: number): number;
  moveMount(fromFd: number, fromPath: string, toFd: number, toPath: string, flags: number): void;
  mountSetAttr(
    dirfd: number,
    path: string,
    flags: number,
    attr: { set: number; clear: number; propagation: number; usernsFd: number },
  ): void;
  /** A file system context (fsopen(2)), a setting of it (fsconfig(2)), the mount made of it (fsmount(2)); each descriptor is close-on-exec. */
  fsOpen(type: string): number;
  fsConfig(fd: number, command: number, key: string | null, value: string | null): void;
  fsMount(fd: number, attributes: number): number;
  pivotRoot(newRoot: string, putOld: string): void;
  chroot(path: string): void;
  chdir(path: string): void;
  fchdir(fd: number): void;

  // --- namespaces and identity ---
  unshare(flags: number): void;
  setns(fd: number, flags: number): void;
  setGroups(gids: readonly number[]): void;
  setResGid(gid: number): void;
  setResUid(uid: number): void;
  /**
   * What this thread makes from here on belongs to `uid` and `gid` (setfsuid(2), setfsgid(2)); its capabilities stay in effect, which the kernel would take with the
   * change (capabilities(7), "Effect of user ID changes"). The caller must be root.
   */
  setFileOwner(uid: number, gid: number): void;
  prctl(option: number, argument: number): number;
  setsid(): number;
  /** A session keyring of this process's own, without a name (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING). */
  joinSessionKeyring(): void;
  /** From here on every system call of this thread, and of what it executes, passes `program` (struct sock_filter[], seccomp(2)). Needs CAP_SYS_ADMIN or no_new_privs. */
  filterSystemCalls(program: Uint8Array): void;
  /** Every device access of processes in the cgroup, and below it, passes `program` as well (struct bpf_insn[], bpf(2), BPF_CGROUP_DEVICE). Stays for as long as the cgroup. */
  attachDeviceFilter(cgroupFd: number, program: Uint8Array): void;
  /** Brings a network interface of the current network namespace up (netdevice(7), SIOCSIFFLAGS). */
  interfaceUp(name: string): void;
  /** Makes, or attaches to, the tap interface `name` of the current network namespace by a descriptor of /dev/net/tun (tun.rst: TUNSETIFF, with a header for offloads); it goes with the last descriptor. */
  attachTap(fd: number, name: string): void;
  /** One request to the kernel's routing (rtnetlink(7)): `message` is complete, with NLM_F_ACK set; its answer's error is thrown. */
  routeRequest(message: Uint8Array): void;

  // --- sockets (socket(2), bind(2), listen(2), setsockopt(2), shutdown(2)) ---
  /** Close-on-exec. */
  socket(domain: number, type: number, protocol: number): number;
  /** `address` is the struct sockaddr of the socket's domain. */
  bind(fd: number, address: Uint8Array): void;
  listen(fd: number, backlog: number): void;
  setSocketOption(fd: number, level: number, option: number, value: number): void;
  shutdown(fd: number, how: number): void;

  // --- locks, descriptors, process ---
  flock(fd: number, operation: number): void;
  /** A new pipe (pipe2(2)): the end to read from and the end to write to, both close-on-exec. */
  pipe(): { readonly read: number; readonly write: number };
  /** A new empty file in memory that may be executed (memfd_create(2)), close-on-exec. */
  memoryFile(name: string): number;
  /** fcntl(2) with an integer argument. */
  fcntl(fd: number, command: number, argument: number): number;
  dup3(from: number, to: number, flags: number): void;
  umask(mask: number): number;
  getLimit(resource: number): ResourceLimit;
  setLimit(resource: number, limit: ResourceLimit): void;
  /** Sets the disposition of each signal to SIG_DFL (sigaction(2)). */
  resetSignals(signals: readonly number[]): void;
  kill(pid: number, signal: number): void;
  /** A descriptor of process `pid` (pidfd_open(2), close-on-exec), which never comes to mean another process; ESRCH when there is none. */
  pidfdOpen(pid: number): number;
  /** Signal 0 only asks whether the process is still there (ESRCH). */
  pidfdSendSignal(pidfd: number, signal: number): void;
  getpgid(pid: number): number;
  /** Replaces this process (execve(2)); returns only by throwing. */
  execve(path: string, argv: readonly string[], env: Readonly<Record<string, string>>): never;

  // --- terminals (ioctl_tty(2)) ---
  /** Unlocks the other end of the pseudoterminal whose master `fd` is; the result is its number, the name below /dev/pts. */
  unlockTerminal(fd: number): number;
  /** Gives the terminal `to` the window size of the terminal `from`. */
  copyWindowSize(from: number, to: number): void;

  // --- files relative to a directory descriptor (AT_FDCWD for the current directory) ---
  openat(dirfd: number, path: HostPath, flags: number, mode: number): number;
  /** openat2(2): `resolve` bounds what the path may do. */
  openat2(dirfd: number, path: HostPath, flags: number, mode: number, resolve: number): number;
  /** The same, but gives -errno where openat2 throws: for files that often are not there, since making an error takes as long as twenty calls. */
  tryOpenat2(dirfd: number, path: HostPath, flags: number, mode: number, resolve: number): number;
  close(fd: number): void;
  mkdirat(dirfd: number, path: HostPath, mode: number): void;
  mknodat(dirfd: number, path: HostPath, mode: number, dev: { major: number; minor: number }): void;
  symlinkat(target: HostPath, dirfd: number, path: HostPath): void;
  linkat(fromFd: number, from: HostPath, toFd: number, to: HostPath, flags: number): void;
  unlinkat(dirfd: number, path: HostPath, flags: number): void;
  renameat2(fromFd: number, from: HostPath, toFd: number, to: HostPath, flags: number): void;
  readlinkat(dirfd: number, path: HostPath): Buffer;
  /** statx(2) of `path` (or of `dirfd` itself with an empty path and AT.EMPTY_PATH). */
  statat(dirfd: number, path: HostPath, flags: number): FileStatus;
  fchownat(dirfd: number, path: HostPath, uid: number, gid: number, flags: number): void;
  fchmod(fd: number, mode: number): void;
  utimensat(dirfd: number, path: HostPath, atime: Timestamp, mtime: Timestamp, flags: number): void;
  /** Extended attributes of the file itself, never of what a symbolic link names (lsetxattr(2) on `/proc/self/fd/…` paths or fsetxattr(2)). */
  fsetxattr(fd: number, name: HostPath, value: Uint8Array): void;
  lsetxattr(path: HostPath, name: HostPath, value: Uint8Array): void;
  lgetxattr(path: HostPath, name: HostPath): Buffer;
  llistxattr(path: HostPath): Buffer[];
  lremovexattr(path: HostPath, name: HostPath): void;
  /** lseek(2); SEEK.DATA and SEEK.HOLE find the parts of a sparse file. */
  seek(fd: number, offset: number, whence: number): number;
  /** Makes `toFd` share the whole content of `fromFd` (ioctl_ficlone(2)). EOPNOTSUPP, EXDEV, EINVAL, ENOTTY: not on this file system. */
  cloneFile(fromFd: number, toFd: number): void;
  /** Copies up to `length` bytes at both files' positions (copy_file_range(2)); the result is how many. */
  copyFileRange(fromFd: number, toFd: number, length: number): number;
  syncfs(fd: number): void;
  /** Type number of the file system (statfs(2)), e.g. 0x794c7630 for overlayfs. */
  fileSystemType(path: string): number;
}
