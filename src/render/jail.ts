/**
 * The unpacker's first stage: it runs in namespaces of its own (mount, pid, network, IPC, UTS, cgroup; made by unshare(1)), still with every capability,
 * builds the root that the second stage will see, moves there and becomes the second stage. It reads nothing that a stranger wrote.
 *
 * That root is a read-only tmpfs with: /usr read-only (for setpriv, xz, bzip2 and their libraries), the rkt executable, a /proc that shows nothing but the
 * worker's own processes, the blob, the layers below, and the layer to fill, the only place that can be written. All come as mounts and not as open
 * descriptors: a descriptor can be reopened for writing through /proc, and one of a directory leads up to the host's root (CVE-2019-5736, CVE-2024-21626).
 *
 * Synchronous from the first line to execve: see docs/decisions/0002-system-calls-through-ffi.md.
 */

import { lstatSync, mkdirSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import {
  AT,
  AT_FDCWD,
  F,
  FD_CLOEXEC,
  type Host,
  isErrno,
  MNT_DETACH,
  MOUNT_ATTR,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS,
  O,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE,
  S,
} from "../host/mod.ts";
import { filterWorker } from "../host/worker-filter.ts";
import { requestReader } from "../host/worker-side.ts";
import { decodeJail, JAIL_BLOB, JAIL_LOWERS, JAIL_TARGET } from "./unpack-protocol.ts";

/** The last word on the command line of the second stage. */
export const CONFINED = "confined";

const EXECUTABLE = "rkt";

/** What is needed to give files their owners, modes and capabilities, and nothing that reaches further (no SYS_ADMIN, MKNOD, DAC_READ_SEARCH, SETUID). */
const CAPABILITIES = ["chown", "dac_override", "fowner", "fsetid", "setfcap"];

/** Words that start the first stage; the executable's path follows. If rkt dies, everything in the new pid namespace dies. */
export const JAIL_LAUNCHER = [
  "setpriv",
  "--pdeathsig=KILL",
  "unshare",
  "--fork",
  "--kill-child=KILL",
  ...["--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup"],
] as const;

/** Reads the description of the jail from stdin (one line: the caller sends the next when the second stage has said that it is there) and becomes the second stage. Returns only by throwing. */
export function enterJail(host: Host): never {
  const jail = decodeJail(requestReader(host)());
  closeOnExecute(host);
  const executable = ownExecutable(host);
  const blob = openPlain(host, jail.blob, S.IFREG);
  const target = openPlain(host, jail.target, S.IFDIR);
  const lowers = jail.lowers.map((path) => openPlain(host, path, S.IFDIR));

  host.mount("tmpfs", jail.root, "tmpfs", MS.NOSUID | MS.NODEV | MS.NOEXEC, "mode=755,size=1m");
  host.chdir(jail.root);
  mountSystem(host);
  writeFileSync(EXECUTABLE, "");
  attach(host, executable, EXECUTABLE, MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV);
  writeFileSync(relative(JAIL_BLOB), "");
  attach(host, blob, relative(JAIL_BLOB), READ_ONLY_DATA);
  mkdirSync(relative(JAIL_TARGET));
  attach(host, target, relative(JAIL_TARGET), DATA);
  mkdirSync(relative(JAIL_LOWERS));
  for (const [index, lower] of lowers.entries()) {
    mkdirSync(`${relative(JAIL_LOWERS)}/${index}`);
    attach(host, lower, `${relative(JAIL_LOWERS)}/${index}`, READ_ONLY_DATA);
  }

  moveRoot(host);
  // Last: it denies what was done above. setpriv needs no more than the unpacker.
  filterWorker(host, "owners");
  return host.execve(
    "/usr/bin/setpriv",
    [
      "setpriv",
      "--no-new-privs",
      "--clear-groups",
      "--inh-caps=-all",
      `--bounding-set=-all,${CAPABILITIES.map((name) => `+${name}`).join(",")}`,
      `/${EXECUTABLE}`,
      "worker",
      "unpack",
      CONFINED,
    ],
    { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
  );
}

/** Nothing on these mounts is executed, is a device, or is followed as a symbolic link by the kernel: the unpacker resolves links itself. */
const DATA = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC | MOUNT_ATTR.NOSYMFOLLOW;
const READ_ONLY_DATA = DATA | MOUNT_ATTR.RDONLY;

/** /usr, the links into it (or, where they are directories, those), and /proc. */
function mountSystem(host: Host): void {
  for (const name of ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    const status = lstatSync(`/${name}`, { throwIfNoEntry: false });
    if (status === undefined) continue;
    if (status.isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), name);
    else if (status.isDirectory()) {
      mkdirSync(name);
      const tree = host.openat(AT_FDCWD, `/${name}`, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
      attach(host, tree, name, MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV);
    }
  }
  mkdirSync("proc");
  // subset=pid leaves out /proc/sys and the like, which uid 0 may write to without any capability (core_pattern runs a program on the host).
  host.mount("proc", "proc", "proc", MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.RDONLY, "subset=pid");
}

/** Mounts a clone of what `fd` names at `target`, and closes it. */
function attach(host: Host, fd: number, target: string, attributes: number): void {
  const tree = host.openTree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT.EMPTY_PATH);
  host.mountSetAttr(tree, "", AT.EMPTY_PATH, { set: attributes, clear: 0, propagation: MS.PRIVATE, usernsFd: 0 });
  host.moveMount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
  host.close(tree);
  host.close(fd);
}

/** Makes the current directory the root and lets go of the old one (pivot_root(2), "pivot_root(".", ".")"); a chroot could be left again. */
function moveRoot(host: Host): void {
  host.pivotRoot(".", ".");
  host.umount(".", MNT_DETACH);
  host.chdir("/");
  host.mount(null, "/", null, MS.REMOUNT | MS.BIND | MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC, null);
}

/** Opens `path` without following any link: the store's directories can be changed by the store's group. */
function openPlain(host: Host, path: string, type: number): number {
  const resolve = RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;
  const fd = host.openat2(AT_FDCWD, path, O.PATH | O.NOFOLLOW | O.CLOEXEC, 0, resolve);
  const status = host.statat(fd, "", AT.EMPTY_PATH);
  if ((status.mode & S.IFMT) !== type) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot unpack ${quoted(path)}: it is no ${type === S.IFDIR ? "directory" : "plain file"}`,
    );
  }
  return fd;
}

/** This executable, opened by its path: a mount can only be cloned in the namespace it was opened in. */
function ownExecutable(host: Host): number {
  const path = readlinkSync("/proc/self/exe");
  const running = statSync("/proc/self/exe");
  try {
    const fd = host.openat(AT_FDCWD, path, O.PATH | O.CLOEXEC, 0);
    const status = host.statat(fd, "", AT.EMPTY_PATH);
    if (status.ino === running.ino && status.size === running.size) return fd;
  } catch {
    // Gone, or renamed: said below.
  }
  throw new RktError("WRONG_STATE", `Cannot unpack: ${quoted(path)} was replaced while it ran`, {
    hint: "run the command again",
  });
}

/** Only stdio reaches the second stage: what this one was started with is a descriptor of the executable on a writable mount. */
function closeOnExecute(host: Host): void {
  for (const fd of readdirSync("/proc/self/fd").map(Number)) {
    if (fd <= 2) continue;
    try {
      host.fcntl(fd, F.SETFD, FD_CLOEXEC);
    } catch (error) {
      // The descriptor of the listing itself is gone by now.
      if (!isErrno(error, "EBADF")) throw error;
    }
  }
}

function relative(path: string): string {
  return path.slice(1);
}
