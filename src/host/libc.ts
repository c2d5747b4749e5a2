/**
 * The symbols of the C library that linux.ts calls. One table, bound at once: after a chroot or setns nothing may be loaded, since the library would come
 * from the image (CVE-2019-14271). Binding them all takes about 1.5 ms.
 */

import { dlopen, FFIType } from "bun:ffi";

const { i32, u32, i64, ptr } = FFIType;

export const libc = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: ptr },
  mount: { args: [ptr, ptr, ptr, i64, ptr], returns: i32 },
  umount2: { args: [ptr, i32], returns: i32 },
  chroot: { args: [ptr], returns: i32 },
  chdir: { args: [ptr], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
  unshare: { args: [i32], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  setgroups: { args: [i64, ptr], returns: i32 },
  setresgid: { args: [u32, u32, u32], returns: i32 },
  setresuid: { args: [u32, u32, u32], returns: i32 },
  prctl: { args: [i32, i64, i64, i64, i64], returns: i32 },
  setsid: { args: [], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, i64], returns: i32 },
  dup3: { args: [i32, i32, i32], returns: i32 },
  umask: { args: [u32], returns: u32 },
  getrlimit: { args: [i32, ptr], returns: i32 },
  setrlimit: { args: [i32, ptr], returns: i32 },
  sigaction: { args: [i32, ptr, ptr], returns: i32 },
  kill: { args: [i32, i32], returns: i32 },
  getpgid: { args: [i32], returns: i32 },
  execve: { args: [ptr, ptr, ptr], returns: i32 },
  openat: { args: [i32, ptr, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  mkdirat: { args: [i32, ptr, u32], returns: i32 },
  mknodat: { args: [i32, ptr, u32, i64], returns: i32 },
  symlinkat: { args: [ptr, i32, ptr], returns: i32 },
  linkat: { args: [i32, ptr, i32, ptr, i32], returns: i32 },
  unlinkat: { args: [i32, ptr, i32], returns: i32 },
  renameat2: { args: [i32, ptr, i32, ptr, u32], returns: i32 },
  readlinkat: { args: [i32, ptr, ptr, i64], returns: i64 },
  statx: { args: [i32, ptr, i32, u32, ptr], returns: i32 },
  fchownat: { args: [i32, ptr, u32, u32, i32], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  utimensat: { args: [i32, ptr, ptr, i32], returns: i32 },
  fsetxattr: { args: [i32, ptr, ptr, i64, i32], returns: i32 },
  lsetxattr: { args: [ptr, ptr, ptr, i64, i32], returns: i32 },
  lgetxattr: { args: [ptr, ptr, ptr, i64], returns: i64 },
  llistxattr: { args: [ptr, ptr, i64], returns: i64 },
  lremovexattr: { args: [ptr, ptr], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  statfs: { args: [ptr, ptr], returns: i32 },
  syscall: { args: [i64, i64, i64, i64, i64, i64, i64], returns: i64 },
}).symbols;

/** Numbers for syscall(2) where the C library of Debian 12 has no wrapper. The newer ones are the same on x86-64 and arm64. */
export const SYS = {
  pivot_root: process.arch === "arm64" ? 41 : 155,
  socket: process.arch === "arm64" ? 198 : 41,
  sendto: process.arch === "arm64" ? 206 : 44,
  ioctl: process.arch === "arm64" ? 29 : 16,
  bpf: process.arch === "arm64" ? 280 : 321,
  keyctl: process.arch === "arm64" ? 219 : 250,
  lseek: process.arch === "arm64" ? 62 : 8,
  copy_file_range: process.arch === "arm64" ? 285 : 326,
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  openat2: 437,
  mount_setattr: 442,
} as const;
