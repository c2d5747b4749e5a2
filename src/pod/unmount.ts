/** Taking down what is mounted in a pod's directory. */

import { basename, dirname, relative } from "node:path";
import { AT_FDCWD, MNT_DETACH, MS, O, RESOLVE, UMOUNT_NOFOLLOW } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { type MountEntry, mountsBelow, readMountInfo } from "../host/mount-info.ts";

/** Busy mounts get this many chances before they are detached. */
const POLITE_ROUNDS = 3;
const ROUNDS = 12;

/**
 * Unmounts everything at or below `podDir` in this mount namespace, innermost first; what stays busy is detached. Gives the mount points that are left (none, as a
 * rule). The pod's processes are gone by now: nobody moves directories under our hands.
 */
export function unmountPod(host: Host, podDir: string, mounts: () => MountEntry[] = readMountInfo): string[] {
  for (let round = 0; round < ROUNDS; round++) {
    const entries = mountsBelow(podDir, mounts());
    if (entries.length === 0) return [];
    // Of mounts stacked on one point only the top one can be reached: the others' turn comes in the next round.
    const points = [...new Set(entries.map((entry) => entry.mountPoint))];
    // Private before anything goes: in a bind mount of the host's /dev that still is the host's peer, unmounting ./pts unmounts the host's /dev/pts.
    for (const point of points) at(host, podDir, point, (path) => host.mount(null, path, null, MS.PRIVATE, null));
    for (const point of points) unmountOne(host, podDir, point, round >= POLITE_ROUNDS);
  }
  return mountsBelow(podDir, mounts()).map((entry) => entry.mountPoint);
}

function unmountOne(host: Host, podDir: string, point: string, detach: boolean): void {
  at(host, podDir, point, (path) => host.umount(path, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)));
}

/**
 * Calls `act` with a path to `point` that leads through a descriptor of its parent directory, opened without following any link: a link that the pod left in
 * place of a directory must not point us at a mount of the host.
 */
function at(host: Host, podDir: string, point: string, act: (path: string) => void): void {
  let state: number | undefined;
  let parent: number | undefined;
  try {
    state = host.openat(AT_FDCWD, dirname(podDir), O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
    const way = relative(dirname(podDir), dirname(point)) || ".";
    parent = host.openat2(state, way, O.PATH | O.DIRECTORY | O.CLOEXEC, 0, RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS);
    act(`/proc/self/fd/${parent}/${basename(point)}`);
  } catch (error) {
    // EINVAL: no mount there (any more). EBUSY: next round. ENOENT and the rest: hidden below another mount until that is gone.
    if (!isErrno(error, "EINVAL", "EBUSY", "ENOENT", "ENOTDIR", "ELOOP", "EXDEV")) throw error;
  } finally {
    if (parent !== undefined) host.close(parent);
    if (state !== undefined) host.close(state);
  }
}
