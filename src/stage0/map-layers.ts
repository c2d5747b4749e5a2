/**
 * Layers as a pod with a user namespace must see them: the same files, whose owners are the pod's users. Each layer is mapped by itself before an overlay joins them
 * (the kernel refuses to map an overlay), and nothing is copied or changed on the disk: all pods of an image share its layers, whatever their users.
 */

import { mkdirSync, rmdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import {
  AT,
  AT_FDCWD,
  FSCONFIG,
  type Host,
  isErrno,
  MNT_DETACH,
  MOUNT_ATTR,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS,
  O,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  UMOUNT_NOFOLLOW,
} from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";

/** Why a file system, a mount or this kernel does not map owners (mount_setattr(2), "ERRORS"). */
const CANNOT_MAP = ["EINVAL", "EOPNOTSUPP", "ENOSYS", "EPERM"] as const;

/**
 * Mounts each directory with the owners of `userns` on `place`/0, 1, … while `act` runs, which gets these names. An overlay keeps its layers itself, so they are gone
 * again when this returns; after a crash in between, gc unmounts them with whatever else is mounted in the pod's directory. Throws UNSUPPORTED when a file
 * system cannot do it.
 */
export function withMappedLayers<T>(
  host: Host,
  place: string,
  layers: readonly string[],
  userns: number,
  act: (names: readonly string[]) => T,
): T {
  mkdirSync(place, { mode: 0o700 });
  // One file system for all mount points: a single unmount takes them all down, and nothing of it shows on the host's other mounts.
  host.mount("rkt-layers", place, "tmpfs", MS.NOSUID | MS.NODEV | MS.NOEXEC, "mode=0700");
  try {
    host.mount(null, place, null, MS.PRIVATE, null);
    return act(layers.map((layer, index) => attachMapped(host, layer, join(place, String(index)), userns)));
  } finally {
    host.umount(place, MNT_DETACH | UMOUNT_NOFOLLOW);
    rmdirSync(place);
  }
}

function attachMapped(host: Host, layer: string, point: string, userns: number): string {
  mkdirSync(point, { mode: 0o700 });
  const fd = mapped(host, layer, userns);
  try {
    host.moveMount(fd, "", AT_FDCWD, point, MOVE_MOUNT_F_EMPTY_PATH);
  } finally {
    host.close(fd);
  }
  return point.slice(point.lastIndexOf("/") + 1);
}

/** A detached mount of the directory with other owners; close-on-exec. Throws UNSUPPORTED. */
export function mapped(host: Host, directory: string, userns: number): number {
  const fd = host.openTree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  try {
    host.mountSetAttr(fd, "", AT.EMPTY_PATH, { set: MOUNT_ATTR.IDMAP, clear: 0, propagation: 0, usernsFd: userns });
    return fd;
  } catch (cause) {
    host.close(fd);
    if (!isErrno(cause, ...CANNOT_MAP)) throw cause;
    throw new RktError(
      "UNSUPPORTED",
      `Cannot give the files of ${quoted(directory)} to the pod's users: this kernel does not map owners on that file system`,
      { cause, hint: "prepare the pod with --no-overlay, which copies the files, or without --private-users" },
    );
  }
}

/**
 * Whether pods can be mounted this way: the file system of `layer` maps owners, and overlays take mapped layers (Linux 5.19). Found out by doing it, with `scratch` (a
 * directory of the pod, made and removed) as the upper one; nothing stays mounted.
 */
export function canMapLayers(host: Host, layer: string, scratch: string, userns: number): boolean {
  mkdirSync(scratch, { mode: 0o700 });
  try {
    for (const name of ["upper", "work"]) mkdirSync(join(scratch, name), { mode: 0o700 });
    const place = join(scratch, "layers");
    withMappedLayers(host, place, [layer], userns, ([name = ""]) => makeOverlay(host, place, name, scratch));
    return true;
  } catch (error) {
    if ((error instanceof RktError && error.code === "UNSUPPORTED") || isErrno(error, ...CANNOT_MAP)) return false;
    throw error;
  } finally {
    // Never across a mount: should one be left, what lies behind it is every pod's layer.
    removeScratch(host, scratch);
  }
}

function removeScratch(host: Host, scratch: string): void {
  const parent = host.openat(AT_FDCWD, dirname(scratch), O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(host, parent, basename(scratch));
  } finally {
    host.close(parent);
  }
}

/** Makes an overlay file system and lets go of it again, without mounting it anywhere. */
function makeOverlay(host: Host, place: string, lower: string, scratch: string): void {
  const context = host.fsOpen("overlay");
  try {
    const options = { lowerdir: join(place, lower), upperdir: join(scratch, "upper"), workdir: join(scratch, "work") };
    for (const [key, value] of Object.entries(options)) host.fsConfig(context, FSCONFIG.SET_STRING, key, value);
    host.fsConfig(context, FSCONFIG.SET_FLAG, "userxattr", null);
    host.fsConfig(context, FSCONFIG.CMD_CREATE, null, null);
  } finally {
    host.close(context);
  }
}
