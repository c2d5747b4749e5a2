/** The sources of volumes: host paths are cloned as mounts before anything is unshared, empty ones are directories of the pod. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import type { RktEvent } from "../../src/core/events.ts";
import { type IdRange, idOnHost } from "../../src/core/id-range.ts";
import { quoted } from "../../src/core/text.ts";
import {
  AT,
  AT_FDCWD,
  type FileStatus,
  FSCONFIG,
  type Host,
  isDirectory,
  isErrno,
  MOUNT_ATTR,
  O,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  S,
  statOf,
} from "../../src/host/mod.ts";
import { openUserNamespace } from "../../src/host/user-namespace.ts";
import {
  type EmptyVolume,
  parseQuantity,
  quantityUnits,
  type TmpfsVolume,
  type Volume,
} from "../../src/spec/appc/mod.ts";
import { mapVolume, unmappedText } from "./map-volume.ts";

/** Of a pod with a user namespace. */
export interface VolumeUsers {
  readonly ids: IdRange;
  /** A user namespace with these ids, as a descriptor. */
  readonly userns: number;
  /** Told of what keeps the host's owners. */
  readonly warn: (text: string) => void;
}

/** For the volumes of one pod. */
export async function volumeUsers(emit: (event: RktEvent) => void, ids: IdRange): Promise<VolumeUsers> {
  const userns = await openUserNamespace({ from: 0, to: ids.shift, count: ids.count });
  return { ids, userns, warn: (text) => emit({ kind: "warning", text }) };
}

/** A volume as a detached mount. `fd` is close-on-exec. */
export interface OpenVolume {
  readonly fd: number;
  readonly isDirectory: boolean;
  /** Where the source is a device node: which device a policy must let the app use. */
  readonly device: Device | undefined;
}

export interface Device {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
}

/**
 * Clones the source as a mount of its own (open_tree(2)): made before the unshare, it stays a peer of the host's mount, so what is mounted below it inside shows on
 * the host (a kubelet needs that), and nothing else does. With `users`, the owners are theirs; `context` is the SELinux label of what is made. Throws NOT_FOUND when the source does not exist.
 */
export function openVolume(
  host: Host,
  podDir: string,
  volume: Volume,
  recursive: boolean,
  { users, context }: { readonly users?: VolumeUsers | undefined; readonly context?: string | undefined } = {},
): OpenVolume {
  if (volume.kind === "tmpfs")
    return { fd: makeTmpfs(host, owned(volume, users), context), isDirectory: true, device: undefined };
  const source = volume.kind === "host" ? volume.source : makeEmptyVolume(host, podDir, owned(volume, users), context);
  try {
    const fd = host.openTree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT.RECURSIVE : 0));
    if (users !== undefined && volume.kind === "host") {
      for (const mount of mapVolume(host, fd, { source, recursive }, users.userns))
        users.warn(unmappedText(volume.name, mount));
    }
    const status = statOf(fd);
    return { fd, isDirectory: isDirectory(status), device: deviceOf(status) };
  } catch (cause) {
    if (!isErrno(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new RktError(
      "NOT_FOUND",
      `Cannot use ${quoted(source)} for volume ${quoted(volume.name)}: no such file or directory`,
      { cause },
    );
  }
}

/** With owners as the host knows them. */
function owned<V extends EmptyVolume | TmpfsVolume>(volume: V, users: VolumeUsers | undefined): V {
  if (users === undefined) return volume;
  return { ...volume, uid: idOnHost(users.ids, volume.uid), gid: idOnHost(users.ids, volume.gid) };
}

function deviceOf({ mode, rdev }: FileStatus): Device | undefined {
  const type = mode & S.IFMT;
  if (type !== S.IFBLK && type !== S.IFCHR) return undefined;
  // As statOf packs it: the minor number in the low 20 bits.
  return { type: type === S.IFBLK ? "b" : "c", major: Math.floor(rdev / 0x100000), minor: rdev % 0x100000 };
}

/** A detached tmpfs of the volume's size, mode and owner (tmpfs(5)). */
function makeTmpfs(host: Host, volume: TmpfsVolume, label: string | undefined): number {
  const context = host.fsOpen("tmpfs");
  try {
    const set = (key: string, value: string) => host.fsConfig(context, FSCONFIG.SET_STRING, key, value);
    set("source", `rkt-${volume.name}`);
    if (volume.size !== undefined) set("size", String(quantityUnits(parseQuantity(volume.size))));
    set("mode", volume.mode);
    set("uid", String(volume.uid));
    set("gid", String(volume.gid));
    if (label !== undefined) set("context", label);
    host.fsConfig(context, FSCONFIG.CMD_CREATE, null, null);
    return host.fsMount(context, MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV);
  } finally {
    host.close(context);
  }
}

/** sharedVolumes/NAME in the pod's directory, with the owner and mode that the volume asks for. */
function makeEmptyVolume(host: Host, podDir: string, volume: EmptyVolume, label: string | undefined): string {
  const shared = new PodFiles(podDir).sharedVolumes;
  mkdirSync(shared, { recursive: true, mode: 0o755 });
  const path = join(shared, volume.name);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  host.fchownat(AT_FDCWD, path, volume.uid, volume.gid, AT.SYMLINK_NOFOLLOW);
  const fd = host.openat(AT_FDCWD, path, O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    host.fchmod(fd, Number.parseInt(volume.mode, 8));
    // What is made in it gets the same label by itself.
    if (label !== undefined) host.fsetxattr(fd, "security.selinux", Buffer.from(`${label}\0`));
  } finally {
    host.close(fd);
  }
  return path;
}

/** Makes a detached mount read-only to its last sub-mount (mount_setattr(2)). */
export function makeReadOnly(host: Host, fd: number): void {
  host.mountSetAttr(fd, "", AT.EMPTY_PATH | AT.RECURSIVE, {
    set: MOUNT_ATTR.RDONLY,
    clear: 0,
    propagation: 0,
    usernsFd: 0,
  });
}
