/** Root's part of unpacking: the device nodes that the confined process may not make. It runs when that process has ended, so nothing moves underneath. */

import { AT, AT_FDCWD, type Host, O, RESOLVE, S } from "../host/mod.ts";
import { setAttributesAt } from "./attributes.ts";
import type { Device } from "./unpack/devices.ts";

/** The list came from a process that read hostile bytes: no name may lead through a link, to another mount or up. */
const STRICT = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS | RESOLVE.NO_XDEV;

const TEMPORARY = ".rkt-device";

/** Puts the nodes into the layer at `rootfs`, each over the file that keeps its place. Throws SystemCallError. */
export function makeDevices(host: Host, rootfs: string, devices: readonly Device[]): void {
  if (devices.length === 0) return;
  const root = host.openat(AT_FDCWD, rootfs, O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  const mask = host.umask(0);
  try {
    for (const device of devices) makeDevice(host, root, device);
  } finally {
    host.umask(mask);
    host.close(root);
  }
}

function makeDevice(host: Host, root: number, device: Device): void {
  const [first, ...links] = device.paths.map((path) => place(host, root, path));
  if (first === undefined) return;
  try {
    const { attributes, type, major, minor } = device;
    const mode = (type === "block" ? S.IFBLK : S.IFCHR) | attributes.mode;
    const parentTimes = host.statat(first.parent, "", AT.EMPTY_PATH);
    host.mknodat(first.parent, TEMPORARY, mode, { major, minor });
    setAttributesAt(host, first.parent, TEMPORARY, attributes);
    host.renameat2(first.parent, TEMPORARY, first.parent, first.name, 0);
    restoreTimes(host, first.parent, parentTimes);
    for (const link of links) {
      const times = host.statat(link.parent, "", AT.EMPTY_PATH);
      host.linkat(first.parent, first.name, link.parent, TEMPORARY, 0);
      host.renameat2(link.parent, TEMPORARY, link.parent, link.name, 0);
      restoreTimes(host, link.parent, times);
    }
  } finally {
    for (const { parent } of [first, ...links]) host.close(parent);
  }
}

function restoreTimes(host: Host, directory: number, status: { mtimeSeconds: number; mtimeNanoseconds: number }): void {
  const mtime = { seconds: status.mtimeSeconds, nanoseconds: status.mtimeNanoseconds };
  host.utimensat(directory, "", mtime, mtime, AT.EMPTY_PATH);
}

function place(host: Host, root: number, path: string): { parent: number; name: Buffer } {
  const slash = path.lastIndexOf("/");
  const directory = slash < 0 ? "." : path.slice(0, slash);
  const flags = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
  const parent = host.openat2(root, Buffer.from(directory, "latin1"), flags, 0, STRICT);
  return { parent, name: Buffer.from(path.slice(slash + 1), "latin1") };
}
