/**
 * The real {@link Host}: glibc through bun:ffi.
 *
 * Why each call is sound: arguments are numbers, or pointers into buffers that are kept alive by a local variable until the call has returned (the calls are
 * synchronous, so the collector cannot run in between); errno is read by the very next native call on the same thread. None of the calls blocks: locks are
 * taken with LOCK_NB, and execve does not return.
 */

import { type Pointer, ptr, read } from "bun:ffi";
import { internalError } from "../core/errors.ts";
import { AT, KEYCTL_JOIN_SESSION_KEYRING, MFD, O, PR, S, SECCOMP_MODE_FILTER } from "./constants.ts";
import { isErrno, quotedPath, SystemCallError } from "./errno.ts";
import type { FileStatus, Host, HostPath, ResourceLimit } from "./host.ts";
import { libc, SYS } from "./libc.ts";

const EINTR = 4;

function errno(): number {
  const location = libc.__errno_location();
  if (location === null) throw internalError("no errno location");
  return read.i32(location, 0);
}

/** Calls until the kernel was not interrupted; throws on -1. `what` is only built when it is needed. */
function checked(name: string, what: () => string, call: () => number | bigint): number {
  for (;;) {
    const result = Number(call());
    if (result >= 0) return result;
    const code = errno();
    if (code !== EINTR) throw new SystemCallError(name, code, what());
  }
}

/** NUL-terminated bytes. A NUL inside would silently name another file, so it is refused. */
function cString(text: HostPath): Buffer {
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  if (bytes.includes(0)) throw new SystemCallError("use", 22, `path ${quotedPath(text)} with a NUL byte`);
  const out = Buffer.alloc(bytes.length + 1);
  out.set(bytes);
  return out;
}

const LONGEST_PATH = 4096;
const path1 = Buffer.alloc(LONGEST_PATH + 1);

/** {@link cString} for the one path of a call, in memory that the next call uses again: two allocations less, which counts where thousands of files are read. */
function onePath(path: HostPath): Buffer {
  if (typeof path !== "string" || path.length > LONGEST_PATH / 3 || path.includes("\0")) return cString(path);
  path1[path1.write(path, "utf8")] = 0;
  return path1;
}

function cStringOrNull(text: string | null): Buffer | null {
  return text === null ? null : cString(text);
}

/** A NULL-terminated array of pointers; `keep` holds the strings alive until the call is over. */
function cStringArray(strings: readonly string[]): { array: BigUint64Array; keep: Buffer[] } {
  const keep = strings.map(cString);
  const array = new BigUint64Array(strings.length + 1);
  keep.forEach((buffer, index) => {
    array[index] = BigInt(ptr(buffer));
  });
  return { array, keep };
}

const quoted = quotedPath;
const at = (dirfd: number, path: HostPath) => () => (path.length === 0 ? `descriptor ${dirfd}` : quoted(path));

function pointerOf(buffer: Uint8Array | Uint32Array | BigUint64Array | BigInt64Array): Pointer {
  return ptr(buffer);
}

const statxBuffer = Buffer.alloc(256);

function statx(dirfd: number, path: HostPath, flags: number): FileStatus {
  const STATX_BASIC_STATS = 0x7ff;
  const buffer = statxBuffer;
  const name = onePath(path);
  checked("stat", at(dirfd, path), () => libc.statx(dirfd, name, flags, STATX_BASIC_STATS, buffer));
  // struct statx, linux/stat.h: the offsets are the same on every architecture.
  const device = (offset: number) => buffer.readUInt32LE(offset) * 0x100000 + buffer.readUInt32LE(offset + 4);
  const wide = (offset: number) => buffer.readUInt32LE(offset) + buffer.readUInt32LE(offset + 4) * 0x100000000;
  return {
    nlink: buffer.readUInt32LE(16),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    mode: buffer.readUInt16LE(28),
    ino: wide(32),
    size: wide(40),
    // Signed: there are files from before 1970.
    mtimeSeconds: buffer.readUInt32LE(112) + buffer.readInt32LE(116) * 0x100000000,
    mtimeNanoseconds: buffer.readUInt32LE(120),
    rdev: device(128),
    dev: device(136),
  };
}

/** struct open_how (openat2(2)): three 64-bit numbers, of which ours have 32 bits. */
const openHow = new Uint32Array(6);

function openat2(dirfd: number, path: HostPath, flags: number, mode: number, resolve: number): number {
  openHow[0] = flags;
  openHow[2] = mode;
  openHow[4] = resolve;
  const [name, how] = [pointerOf(onePath(path)), pointerOf(openHow)];
  return Number(libc.syscall(SYS.openat2, dirfd, name, how, openHow.byteLength, 0, 0));
}

/** glibc's gnu_dev_makedev. */
function makeDevice(major: number, minor: number): bigint {
  const a = BigInt(major);
  const b = BigInt(minor);
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
}

function timespecs(...times: { seconds: number; nanoseconds: number }[]): BigInt64Array {
  return new BigInt64Array(times.flatMap((time) => [BigInt(time.seconds), BigInt(time.nanoseconds)]));
}

/** getxattr(2) style: asks with growing buffers until the value fits. */
function growing(name: string, what: () => string, call: (buffer: Buffer) => number | bigint): Buffer {
  const ERANGE = 34;
  for (let size = 1024; ; size *= 8) {
    const buffer = Buffer.alloc(size);
    try {
      const length = checked(name, what, () => call(buffer));
      return buffer.subarray(0, length);
    } catch (error) {
      if (!(error instanceof SystemCallError && error.errno === ERANGE && size < 1 << 20)) throw error;
    }
  }
}

export const linux: Host = {
  mount(source, target, type, flags, data) {
    const [a, b, c, d] = [cStringOrNull(source), cString(target), cStringOrNull(type), cStringOrNull(data)];
    checked(
      "mount",
      () => `${type ?? source ?? ""} on ${quoted(target)}`,
      () => libc.mount(a, b, c, flags, d),
    );
  },
  umount(target, flags) {
    const path = cString(target);
    checked(
      "unmount",
      () => quoted(target),
      () => libc.umount2(path, flags),
    );
  },
  openTree(dirfd, path, flags) {
    const name = cString(path);
    return checked("clone the mount at", at(dirfd, path), () =>
      libc.syscall(SYS.open_tree, dirfd, pointerOf(name), flags, 0, 0, 0),
    );
  },
  moveMount(fromFd, fromPath, toFd, toPath, flags) {
    const [a, b] = [cString(fromPath), cString(toPath)];
    checked("move a mount to", at(toFd, toPath), () =>
      libc.syscall(SYS.move_mount, fromFd, pointerOf(a), toFd, pointerOf(b), flags, 0),
    );
  },
  mountSetAttr(dirfd, path, flags, attr) {
    const name = cString(path);
    const struct = new BigUint64Array([
      BigInt(attr.set),
      BigInt(attr.clear),
      BigInt(attr.propagation),
      BigInt(attr.usernsFd),
    ]);
    checked("change the mount attributes of", at(dirfd, path), () =>
      libc.syscall(SYS.mount_setattr, dirfd, pointerOf(name), flags, pointerOf(struct), struct.byteLength, 0),
    );
  },
  fsOpen(type) {
    const name = cString(type);
    const FSOPEN_CLOEXEC = 1;
    return checked(
      "open the file system",
      () => quoted(type),
      () => libc.syscall(SYS.fsopen, pointerOf(name), FSOPEN_CLOEXEC, 0, 0, 0, 0),
    );
  },
  fsConfig(fd, command, key, value) {
    const [a, b] = [cStringOrNull(key), cStringOrNull(value)];
    checked(
      "set",
      () => `the mount option ${key ?? command}=${value ?? ""}`,
      () => libc.syscall(SYS.fsconfig, fd, command, a === null ? 0 : pointerOf(a), b === null ? 0 : pointerOf(b), 0, 0),
    );
  },
  fsMount(fd, attributes) {
    const FSMOUNT_CLOEXEC = 1;
    return checked(
      "make a mount of",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.fsmount, fd, FSMOUNT_CLOEXEC, attributes, 0, 0, 0),
    );
  },
  pivotRoot(newRoot, putOld) {
    const [a, b] = [cString(newRoot), cString(putOld)];
    checked(
      "pivot the root to",
      () => quoted(newRoot),
      () => libc.syscall(SYS.pivot_root, pointerOf(a), pointerOf(b), 0, 0, 0, 0),
    );
  },
  chroot(path) {
    const name = cString(path);
    checked(
      "chroot to",
      () => quoted(path),
      () => libc.chroot(name),
    );
  },
  chdir(path) {
    const name = cString(path);
    checked(
      "change the directory to",
      () => quoted(path),
      () => libc.chdir(name),
    );
  },
  fchdir(fd) {
    checked(
      "change the directory to",
      () => `descriptor ${fd}`,
      () => libc.fchdir(fd),
    );
  },

  unshare(flags) {
    checked(
      "unshare",
      () => `namespaces 0x${flags.toString(16)}`,
      () => libc.unshare(flags),
    );
  },
  setns(fd, flags) {
    checked(
      "join",
      () => `the namespace of descriptor ${fd}`,
      () => libc.setns(fd, flags),
    );
  },
  setGroups(gids) {
    const list = new Uint32Array(Math.max(gids.length, 1));
    list.set(gids);
    checked(
      "set",
      () => `the supplementary groups ${gids.join(",")}`,
      () => libc.setgroups(gids.length, list),
    );
  },
  setResGid(gid) {
    checked(
      "change",
      () => `to group ${gid}`,
      () => libc.setresgid(gid, gid, gid),
    );
  },
  setResUid(uid) {
    checked(
      "change",
      () => `to user ${uid}`,
      () => libc.setresuid(uid, uid, uid),
    );
  },
  setFileOwner(uid, gid) {
    const [NO_CHANGE, CAPABILITY_VERSION_3] = [-1, 0x20080522];
    const change = (number: number, id: number) => {
      libc.syscall(number, id, 0, 0, 0, 0, 0);
      // The result of both calls is the id before; asking with an impossible id is how a refusal is told (setfsuid(2)).
      if (Number(libc.syscall(number, NO_CHANGE, 0, 0, 0, 0, 0)) >>> 0 !== id)
        throw new SystemCallError("change", 1, `the owner of new files to ${id}`);
    };
    change(SYS.setfsgid, gid);
    change(SYS.setfsuid, uid);
    // struct __user_cap_header_struct: version, pid (0: this thread). Two __user_cap_data_struct: effective, permitted, inheritable (capget(2)).
    const header = new Uint32Array([CAPABILITY_VERSION_3, 0]);
    const sets = new Uint32Array(6);
    const call = (number: number) =>
      checked(
        "keep",
        () => "the capabilities of root",
        () => libc.syscall(number, pointerOf(header), pointerOf(sets), 0, 0, 0, 0),
      );
    call(SYS.capget);
    for (const start of [0, 3]) sets[start] = sets[start + 1] ?? 0;
    call(SYS.capset);
  },
  prctl(option, argument) {
    return checked(
      "prctl",
      () => `option ${option}`,
      () => libc.prctl(option, argument, 0, 0, 0),
    );
  },
  joinSessionKeyring() {
    checked(
      "join",
      () => "a session keyring",
      () => libc.syscall(SYS.keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0),
    );
  },
  filterSystemCalls(program) {
    // struct sock_fprog: the number of 8-byte instructions, and where they are. The kernel copies them before it returns (seccomp(2)).
    const description = new Uint8Array(16);
    const view = new DataView(description.buffer);
    view.setUint16(0, program.byteLength / 8, true);
    view.setBigUint64(8, BigInt(pointerOf(program)), true);
    checked(
      "filter",
      () => "system calls",
      () => libc.prctl(PR.SET_SECCOMP, SECCOMP_MODE_FILTER, pointerOf(description), 0, 0),
    );
  },
  attachDeviceFilter(cgroupFd, program) {
    // union bpf_attr of linux/bpf.h, zeroed where nothing is said. The kernel copies program, licence and attributes before it returns (bpf(2)).
    const [BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI] = [
      5, 8, 15, 6, 2,
    ];
    const license = cString("Apache-2.0");
    const load = Buffer.alloc(128);
    load.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0);
    load.writeUInt32LE(program.byteLength / 8, 4);
    load.writeBigUInt64LE(BigInt(pointerOf(program)), 8);
    load.writeBigUInt64LE(BigInt(pointerOf(license)), 16);
    load.writeUInt32LE(BPF_CGROUP_DEVICE, 68);
    const fd = checked(
      "load",
      () => "a device policy",
      () => libc.syscall(SYS.bpf, BPF_PROG_LOAD, pointerOf(load), load.length, 0, 0, 0),
    );
    try {
      const attach = Buffer.alloc(128);
      attach.writeUInt32LE(cgroupFd, 0);
      attach.writeUInt32LE(fd, 4);
      attach.writeUInt32LE(BPF_CGROUP_DEVICE, 8);
      attach.writeUInt32LE(BPF_F_ALLOW_MULTI, 12);
      checked(
        "attach",
        () => "a device policy to a cgroup",
        () => libc.syscall(SYS.bpf, BPF_PROG_ATTACH, pointerOf(attach), attach.length, 0, 0, 0),
      );
    } finally {
      this.close(fd);
    }
  },
  setsid() {
    return checked(
      "start",
      () => "a session",
      () => libc.setsid(),
    );
  },
  attachTap(fd, name) {
    const [TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR] = [0x400454ca, 0x2, 0x1000, 0x4000];
    // struct ifreq: 16 bytes of name, then the flags as a short (netdevice(7)).
    const request = Buffer.alloc(40);
    request.write(name.slice(0, 15));
    request.writeInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
    checked(
      "make",
      () => `tap interface ${quoted(name)}`,
      () => libc.syscall(SYS.ioctl, fd, TUNSETIFF, pointerOf(request), 0, 0, 0),
    );
  },
  interfaceUp(name) {
    const [AF_INET, SOCK_DGRAM, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP] = [2, 2, 0x8913, 0x8914, 1];
    const what = () => `interface ${quoted(name)}`;
    // struct ifreq: 16 bytes of name, then the flags as a short (netdevice(7)).
    const request = Buffer.alloc(40);
    request.write(name.slice(0, 15));
    const socket = checked("open a socket for", what, () =>
      libc.syscall(SYS.socket, AF_INET, SOCK_DGRAM | O.CLOEXEC, 0, 0, 0, 0),
    );
    const ioctl = (code: number) =>
      checked("bring up", what, () => libc.syscall(SYS.ioctl, socket, code, pointerOf(request), 0, 0, 0));
    try {
      ioctl(SIOCGIFFLAGS);
      request.writeInt16LE(request.readInt16LE(16) | IFF_UP, 16);
      ioctl(SIOCSIFFLAGS);
    } finally {
      libc.close(socket);
    }
  },

  routeRequest(message) {
    const [AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, NLMSG_ERROR] = [16, 3, 0, 2];
    const what = () => "the routing table";
    const socket = checked("open a socket for", what, () =>
      libc.syscall(SYS.socket, AF_NETLINK, SOCK_RAW | O.CLOEXEC, NETLINK_ROUTE, 0, 0, 0),
    );
    try {
      // The kernel handles a request before sendto(2) returns, so the answer is there and recvfrom(2) does not wait.
      checked("change", what, () => libc.syscall(SYS.sendto, socket, pointerOf(message), message.length, 0, 0, 0));
      const answer = Buffer.alloc(4096);
      const length = checked("change", what, () =>
        libc.syscall(SYS.recvfrom, socket, pointerOf(answer), answer.length, 0, 0, 0),
      );
      // struct nlmsghdr, then the negative errno of struct nlmsgerr; 0 is the acknowledgement (netlink(7)).
      if (length < 20 || answer.readUInt16LE(4) !== NLMSG_ERROR) throw new SystemCallError("change", 5, what());
      const code = -answer.readInt32LE(16);
      if (code !== 0) throw new SystemCallError("change", code, what());
    } finally {
      libc.close(socket);
    }
  },

  socket(domain, type, protocol) {
    return checked(
      "open",
      () => "a socket",
      () => libc.syscall(SYS.socket, domain, type | O.CLOEXEC, protocol, 0, 0, 0),
    );
  },
  bind(fd, address) {
    checked(
      "bind",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.bind, fd, pointerOf(address), address.length, 0, 0, 0),
    );
  },
  listen(fd, backlog) {
    checked(
      "listen on",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.listen, fd, backlog, 0, 0, 0, 0),
    );
  },
  setSocketOption(fd, level, option, value) {
    const number = Buffer.alloc(4);
    number.writeInt32LE(value);
    checked(
      "set an option of",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.setsockopt, fd, level, option, pointerOf(number), number.length, 0),
    );
  },
  shutdown(fd, how) {
    checked(
      "shut down",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.shutdown, fd, how, 0, 0, 0, 0),
    );
  },

  flock(fd, operation) {
    checked(
      "lock",
      () => `descriptor ${fd}`,
      () => libc.flock(fd, operation),
    );
  },
  pipe() {
    const ends = new Int32Array(2);
    checked(
      "create",
      () => "a pipe",
      () => libc.syscall(SYS.pipe2, ptr(ends), O.CLOEXEC, 0, 0, 0, 0),
    );
    return { read: ends[0] ?? -1, write: ends[1] ?? -1 };
  },
  memoryFile(name) {
    const bytes = Buffer.from(`${name}\0`);
    const create = (flags: number) =>
      checked(
        "create",
        () => "a file in memory",
        () => libc.syscall(SYS.memfd_create, ptr(bytes), flags, 0, 0, 0, 0),
      );
    try {
      return create(MFD.CLOEXEC | MFD.EXEC);
    } catch (error) {
      // Before Linux 6.3 all could be executed, and nobody knew the flag.
      if (!isErrno(error, "EINVAL")) throw error;
      return create(MFD.CLOEXEC);
    }
  },
  fcntl(fd, command, argument) {
    return checked(
      "control",
      () => `descriptor ${fd}`,
      () => libc.fcntl(fd, command, argument),
    );
  },
  dup3(from, to, flags) {
    checked(
      "duplicate",
      () => `descriptor ${from}`,
      () => libc.dup3(from, to, flags),
    );
  },
  umask(mask) {
    return libc.umask(mask);
  },
  getLimit(resource): ResourceLimit {
    const struct = new BigUint64Array(2);
    checked(
      "read",
      () => `resource limit ${resource}`,
      () => libc.getrlimit(resource, struct),
    );
    return { soft: struct[0] ?? 0n, hard: struct[1] ?? 0n };
  },
  setLimit(resource, limit) {
    const struct = new BigUint64Array([limit.soft, limit.hard]);
    checked(
      "set",
      () => `resource limit ${resource}`,
      () => libc.setrlimit(resource, struct),
    );
  },
  resetSignals(signals) {
    // struct sigaction of glibc: handler, 128 bytes of mask, flags, restorer: all zero is SIG_DFL.
    const action = Buffer.alloc(160);
    for (const signal of signals)
      checked(
        "reset",
        () => `signal ${signal}`,
        () => libc.sigaction(signal, action, null),
      );
  },
  kill(pid, signal) {
    checked(
      "signal",
      () => `process ${pid}`,
      () => libc.kill(pid, signal),
    );
  },
  pidfdOpen(pid) {
    return checked(
      "open",
      () => `process ${pid}`,
      () => libc.syscall(SYS.pidfd_open, pid, 0, 0, 0, 0, 0),
    );
  },
  pidfdSendSignal(pidfd, signal) {
    checked(
      "signal",
      () => `the process of descriptor ${pidfd}`,
      () => libc.syscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0, 0, 0),
    );
  },
  getpgid(pid) {
    return checked(
      "read",
      () => `the process group of ${pid}`,
      () => libc.getpgid(pid),
    );
  },
  execve(path, argv, env): never {
    const name = cString(path);
    const args = cStringArray(argv);
    const variables = cStringArray(Object.entries(env).map(([key, value]) => `${key}=${value}`));
    checked(
      "execute",
      () => quoted(path),
      () => libc.execve(name, args.array, variables.array),
    );
    throw internalError(`execve returned, with ${args.keep.length + variables.keep.length} strings`);
  },

  unlockTerminal(fd) {
    const [TIOCSPTLCK, TIOCGPTN] = [0x40045431, 0x80045430];
    const number = new Uint8Array(4);
    const ioctl = (code: number) =>
      checked(
        "prepare",
        () => "a pseudoterminal",
        () => libc.syscall(SYS.ioctl, fd, code, pointerOf(number), 0, 0, 0),
      );
    ioctl(TIOCSPTLCK); // to 0: unlocked
    ioctl(TIOCGPTN);
    return new DataView(number.buffer).getUint32(0, true);
  },
  copyWindowSize(from, to) {
    const [TIOCGWINSZ, TIOCSWINSZ] = [0x5413, 0x5414];
    const size = new Uint8Array(8); // struct winsize
    const ioctl = (fd: number, code: number) =>
      checked(
        "copy",
        () => "a terminal's size",
        () => libc.syscall(SYS.ioctl, fd, code, pointerOf(size), 0, 0, 0),
      );
    ioctl(from, TIOCGWINSZ);
    ioctl(to, TIOCSWINSZ);
  },

  openat(dirfd, path, flags, mode) {
    const name = onePath(path);
    return checked("open", at(dirfd, path), () => libc.openat(dirfd, name, flags, mode));
  },
  openat2(dirfd, path, flags, mode, resolve) {
    return checked("open", at(dirfd, path), () => openat2(dirfd, path, flags, mode, resolve));
  },
  tryOpenat2(dirfd, path, flags, mode, resolve) {
    for (;;) {
      const result = openat2(dirfd, path, flags, mode, resolve);
      if (result >= 0) return result;
      const code = errno();
      if (code !== EINTR) return -code;
    }
  },
  close(fd) {
    // close(2): after EINTR the descriptor is gone; trying again could close somebody else's.
    if (libc.close(fd) < 0 && errno() !== EINTR) throw new SystemCallError("close", errno(), `descriptor ${fd}`);
  },
  mkdirat(dirfd, path, mode) {
    const name = cString(path);
    checked("create directory", at(dirfd, path), () => libc.mkdirat(dirfd, name, mode));
  },
  mknodat(dirfd, path, mode, dev) {
    const name = cString(path);
    checked("create node", at(dirfd, path), () => libc.mknodat(dirfd, name, mode, makeDevice(dev.major, dev.minor)));
  },
  symlinkat(target, dirfd, path) {
    const [a, b] = [cString(target), cString(path)];
    checked("create symbolic link", at(dirfd, path), () => libc.symlinkat(a, dirfd, b));
  },
  linkat(fromFd, from, toFd, to, flags) {
    const [a, b] = [cString(from), cString(to)];
    checked(
      "create hard link",
      () => `${at(toFd, to)()} to ${at(fromFd, from)()}`,
      () => libc.linkat(fromFd, a, toFd, b, flags),
    );
  },
  unlinkat(dirfd, path, flags) {
    const name = cString(path);
    checked("remove", at(dirfd, path), () => libc.unlinkat(dirfd, name, flags));
  },
  renameat2(fromFd, from, toFd, to, flags) {
    const [a, b] = [cString(from), cString(to)];
    checked(
      "rename",
      () => `${at(fromFd, from)()} to ${at(toFd, to)()}`,
      () => libc.renameat2(fromFd, a, toFd, b, flags),
    );
  },
  readlinkat(dirfd, path) {
    const name = cString(path);
    // readlink(2) cuts silently: a full buffer may be a cut one. PATH_MAX bounds a target.
    const buffer = Buffer.alloc(4097);
    const length = checked("read symbolic link", at(dirfd, path), () =>
      libc.readlinkat(dirfd, name, buffer, buffer.length),
    );
    return buffer.subarray(0, length);
  },
  statat: statx,
  fchownat(dirfd, path, uid, gid, flags) {
    const name = cString(path);
    checked("change the owner of", at(dirfd, path), () => libc.fchownat(dirfd, name, uid, gid, flags));
  },
  fchmod(fd, mode) {
    checked(
      "change the mode of",
      () => `descriptor ${fd}`,
      () => libc.fchmod(fd, mode),
    );
  },
  utimensat(dirfd, path, atime, mtime, flags) {
    const name = cString(path);
    const times = timespecs(atime, mtime);
    checked("set the times of", at(dirfd, path), () => libc.utimensat(dirfd, name, times, flags));
  },
  fsetxattr(fd, name, value) {
    const key = cString(name);
    checked(
      "set attribute",
      () => `${quoted(name)} of descriptor ${fd}`,
      () => libc.fsetxattr(fd, key, value.length === 0 ? null : value, value.length, 0),
    );
  },
  lsetxattr(path, name, value) {
    const [file, key] = [cString(path), cString(name)];
    checked(
      "set attribute",
      () => `${quoted(name)} of ${quoted(path)}`,
      () => libc.lsetxattr(file, key, value.length === 0 ? null : value, value.length, 0),
    );
  },
  lgetxattr(path, name) {
    const [file, key] = [cString(path), cString(name)];
    return growing(
      "read attribute",
      () => `${quoted(name)} of ${quoted(path)}`,
      (buffer) => libc.lgetxattr(file, key, buffer, buffer.length),
    );
  },
  llistxattr(path) {
    const file = cString(path);
    const list = growing(
      "list the attributes of",
      () => quoted(path),
      (buffer) => libc.llistxattr(file, buffer, buffer.length),
    );
    const names: Buffer[] = [];
    for (let start = 0; start < list.length; ) {
      const end = list.indexOf(0, start);
      names.push(list.subarray(start, end));
      start = end + 1;
    }
    return names;
  },
  lremovexattr(path, name) {
    const [file, key] = [cString(path), cString(name)];
    checked(
      "remove attribute",
      () => `${quoted(name)} of ${quoted(path)}`,
      () => libc.lremovexattr(file, key),
    );
  },
  seek(fd, offset, whence) {
    return checked(
      "seek in",
      () => `descriptor ${fd}`,
      () => libc.syscall(SYS.lseek, fd, offset, whence, 0, 0, 0),
    );
  },
  cloneFile(fromFd, toFd) {
    const FICLONE = 0x40049409;
    checked(
      "clone",
      () => `descriptor ${fromFd}`,
      () => libc.syscall(SYS.ioctl, toFd, FICLONE, fromFd, 0, 0, 0),
    );
  },
  copyFileRange(fromFd, toFd, length) {
    return checked(
      "copy",
      () => `descriptor ${fromFd}`,
      () => libc.syscall(SYS.copy_file_range, fromFd, 0, toFd, 0, length, 0),
    );
  },
  syncfs(fd) {
    checked(
      "sync",
      () => `the file system of descriptor ${fd}`,
      () => libc.syncfs(fd),
    );
  },
  fileSystemType(path) {
    const buffer = Buffer.alloc(256);
    const name = cString(path);
    checked(
      "read the file system of",
      () => quoted(path),
      () => libc.statfs(name, buffer),
    );
    return Number(buffer.readBigInt64LE(0));
  },
};

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw internalError("rkt runs on little-endian machines only");

/** True for a directory's status. */
export function isDirectory(status: FileStatus): boolean {
  return (status.mode & S.IFMT) === S.IFDIR;
}

/** The status of an open descriptor. */
export function statOf(fd: number): FileStatus {
  return statx(fd, "", AT.EMPTY_PATH);
}
