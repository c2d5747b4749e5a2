/**
 * What QEMU sees of the host: a root of its own with the host's programs (read-only), three devices, the kernel that it starts and the pipes to its supervisor. It runs as a user that owns
 * nothing else, without a capability, in the pod's network namespace. Whoever breaks out of the guest into QEMU is there.
 */

import { existsSync, mkdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodUuid } from "../../src/core/uuid.ts";
import { AT, AT_FDCWD, type Host, isErrno, MS, S } from "../../src/host/mod.ts";

/** Files of the machine, in the pod's directory; paths relative to it, because a socket's path may have 107 characters. */
export const MACHINE_DIRECTORY = "kvm";

/** Users that nothing else gives out: systemd's table of numbers has none from 1879048192 to 2147483647 (systemd's UIDS-GIDS.md). Another one for each pod. */
export function machineUser(uuid: PodUuid): number {
  return 1879048192 + (Number.parseInt(uuid.slice(0, 8), 16) % 268435455);
}

export interface MachineFiles {
  /** Descriptor of the socket where virtiofsd listens. */
  readonly files: number;
  /** Of those where rkt enters. */
  readonly sessions: readonly number[];
}

/** Pipes, sockets and logs. The caller's working directory is the pod's. Throws SYSTEM_CALL. */
export function makeMachineFiles(host: Host, user: number, sessions: number): MachineFiles {
  // Closed to others: the user's own part lies below, and is bound into its root.
  mkdirSync(MACHINE_DIRECTORY, { mode: 0o700 });
  mkdirSync(join(MACHINE_DIRECTORY, "root"), { mode: 0o755 });
  mkdirSync(join(MACHINE_DIRECTORY, "vm"), { mode: 0o755 });
  const give = (name: string) =>
    host.fchownat(AT_FDCWD, join(MACHINE_DIRECTORY, "vm", name), user, user, AT.SYMLINK_NOFOLLOW);
  for (const name of ["control.in", "control.out", "console.in", "console.out", "kernel"]) {
    host.mknodat(AT_FDCWD, join(MACHINE_DIRECTORY, "vm", name), S.IFIFO | 0o600, { major: 0, minor: 0 });
    give(name);
  }
  const files = listenAt(host, join(MACHINE_DIRECTORY, "vm/files.sock"));
  give("files.sock");
  return {
    files,
    sessions: Array.from({ length: sessions }, (_, index) =>
      listenAt(host, join(MACHINE_DIRECTORY, `session-${index}.sock`)),
    ),
  };
}

/** unix(7). */
function listenAt(host: Host, path: string): number {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  const fd = host.socket(AF_UNIX, SOCK_STREAM, 0);
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  host.bind(fd, address);
  host.listen(fd, 8);
  return fd;
}

/** Mounts QEMU's root at kvm/root, in the pod's mount namespace. `kernel`: the directory of the kernel and its initramfs. Synchronous. */
export function mountCell(host: Host, podDir: string, kernel: string, devices: readonly string[]): void {
  const root = join(podDir, MACHINE_DIRECTORY, "root");
  const at = (path: string) => join(root, path);
  host.mount("tmpfs", root, "tmpfs", MS.NOSUID, "mode=755,size=64k");
  for (const name of ["usr", "vm", "boot", "dev", "tmp"]) mkdirSync(at(name), { mode: 0o755 });
  bind(host, "/usr", at("usr"), MS.NODEV);
  bind(host, kernel, at("boot"), MS.NODEV | MS.NOEXEC);
  host.mount(join(podDir, MACHINE_DIRECTORY, "vm"), at("vm"), null, MS.BIND, null);
  for (const name of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) hostDirectory(host, name, at(name));
  for (const device of devices) {
    writeFileSync(at(device), "");
    host.mount(device, at(device), null, MS.BIND, null);
  }
  host.mount(null, root, null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NOSUID, null);
}

/** A link into /usr where the host has one (merged /usr), else the directory. */
function hostDirectory(host: Host, name: string, target: string): void {
  if (!existsSync(`/${name}`)) return;
  try {
    host.symlinkat(readlinkSync(`/${name}`), AT_FDCWD, target);
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    mkdirSync(target, { mode: 0o755 });
    bind(host, `/${name}`, target, MS.NODEV);
  }
}

function bind(host: Host, source: string, target: string, flags: number): void {
  host.mount(source, target, null, MS.BIND, null);
  host.mount(null, target, null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NOSUID | flags, null);
}

/** What executes a program in that root as that user, who keeps no right. `group`: of /dev/kvm (accelerator.ts). Pure. */
export function cellWords(root: string, user: number, group: number | undefined): string[] {
  return [
    ...["/usr/sbin/chroot", root, "/usr/bin/setpriv", `--reuid=${user}`, `--regid=${user}`],
    group === undefined ? "--clear-groups" : `--groups=${group}`,
    ...["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--pdeathsig=KILL"],
  ];
}
