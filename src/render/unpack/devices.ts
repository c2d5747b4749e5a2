/**
 * Device nodes of an archive. The unpacker may not make any (it lacks CAP_MKNOD, so that a hostile archive cannot open the host's disks through it): an empty
 * file keeps the place, and the list of what belongs there goes to root. A file is known by its inode, because it may be linked, replaced or removed later on.
 */

import { RktError } from "../../core/errors.ts";
import { AT, type FileStatus, isErrno, S } from "../../host/mod.ts";
import type { Attributes } from "../attributes.ts";
import { statusOf } from "../below.ts";
import { type ByteString, shown, toBytes } from "../tar/bytes.ts";
import type { Walk } from "./walk.ts";

export interface Device {
  /** Names in the layer; more than one when it was linked. */
  readonly paths: ByteString[];
  readonly type: "char" | "block";
  readonly major: number;
  readonly minor: number;
  readonly attributes: Omit<Attributes, "xattrs">;
}

/** By inode number of the file that keeps the place. */
export type DeviceList = Map<number, Device>;

/** A real image has a few dozen; the limit bounds what root is asked to make. */
export const MOST_DEVICES = 4096;

/** Notes that `path`, just created, stands for a device. Throws INVALID_INPUT. */
export function noteDevice(
  devices: DeviceList,
  walk: Walk,
  path: ByteString,
  device: Omit<Device, "paths" | "attributes"> & Device["attributes"],
): void {
  if (devices.size >= MOST_DEVICES) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot unpack ${shown(path)}: the layer has more than ${MOST_DEVICES} devices`,
    );
  }
  // 0:0 is how an overlay marks a removed file (a whiteout), never a device.
  if (device.type === "char" && device.major === 0 && device.minor === 0) {
    throw new RktError("INVALID_INPUT", `Cannot unpack ${shown(path)}: there is no character device 0:0`);
  }
  const { type, major, minor, mode, uid, gid, mtime } = device;
  const { ino } = walk.host.statat(walk.target.fd, toBytes(path), AT.SYMLINK_NOFOLLOW);
  devices.set(ino, { paths: [path], type, major, minor, attributes: { mode, uid, gid, mtime } });
}

/** The device that a node of a layer below is. */
export function deviceOf(
  status: FileStatus,
  attributes: Attributes,
): Omit<Device, "paths" | "attributes"> & Device["attributes"] {
  const { mode, uid, gid, mtime } = attributes;
  const type = (status.mode & S.IFMT) === S.IFBLK ? "block" : "char";
  return { type, major: Math.floor(status.rdev / 0x100000), minor: status.rdev % 0x100000, mode, uid, gid, mtime };
}

/** Notes that `path` is a new hard link to `target`, if that stands for a device. */
export function noteDeviceLink(devices: DeviceList, walk: Walk, target: ByteString, path: ByteString): void {
  if (devices.size === 0) return;
  const { ino } = walk.host.statat(walk.target.fd, toBytes(target), AT.SYMLINK_NOFOLLOW);
  devices.get(ino)?.paths.push(path);
}

/** Forgets what stood at `path` or below it: it was removed, and its inode number may come back. */
export function forgetDevices(devices: DeviceList, path: ByteString): void {
  for (const [ino, device] of devices) {
    const kept = device.paths.filter((name) => name !== path && !name.startsWith(`${path}/`));
    if (kept.length === 0) devices.delete(ino);
    else device.paths.splice(0, device.paths.length, ...kept);
  }
}

/** What is left in the end: names that still lead to the file that keeps the place. */
export function remainingDevices(devices: DeviceList, walk: Walk): Device[] {
  return [...devices].flatMap(([ino, device]) => {
    const paths = device.paths.filter((path) => {
      try {
        return statusOf(walk.host, walk.target.fd, toBytes(path))?.ino === ino;
      } catch (error) {
        if (isErrno(error, "ELOOP")) return false;
        throw error;
      }
    });
    return paths.length === 0 ? [] : [{ ...device, paths }];
  });
}
