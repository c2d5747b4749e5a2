/** Taking down what is mounted in a pod's directory. */

import { basename, dirname, relative } from "node:path";
import { AT_FDCWD, MNT_DETACH, MS, O, RESOLVE, UMOUNT_NOFOLLOW } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { type MountEntry, mountsBelow, readMountInfo } from "../host/mount-info.ts";

/** Rounds without progress before busy mounts are detached, and before it is given up. */
const POLITE_ROUNDS = 3;
const HOPELESS_ROUNDS = 6;

/**
 * Unmounts everything at or below `podDir` in this mount namespace, innermost first; what stays busy is detached. Gives the mount points that are left (none, as a
 * rule). The pod's processes are gone by now: nobody moves directories under our hands.
 */
export function unmountPod(host: Host, podDir: string, mounts: () => MountEntry[] = readMountInfo): string[] {
  let entries = mountsBelow(podDir, mounts());
  for (let stuck = 0; entries.length > 0 && stuck < HOPELESS_ROUNDS; ) {
    unmountRound(host, podDir, entries, stuck >= POLITE_ROUNDS);
    const left = mountsBelow(podDir, mounts());
    stuck = left.length < entries.length ? 0 : stuck + 1;
    entries = left;
  }
  return entries.map((entry) => entry.mountPoint);
}

function unmountRound(host: Host, podDir: string, entries: readonly MountEntry[], detach: boolean): void {
  const points = [...new Set(entries.map((entry) => entry.mountPoint))];
  // Private before anything goes: in a bind mount of the host's /dev that still is the host's peer, unmounting ./pts unmounts the host's /dev/pts.
  // Recursively: that reaches mounts which others cover, and no path does.
  for (const point of points)
    at(host, podDir, point, (path) => host.mount(null, path, null, MS.REC | MS.PRIVATE, null));
  // Of mounts stacked on one point only the top one can be reached, and may hide others that are not private yet: then one at a time.
  const stacked = points.length < entries.length;
  const flags = UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0);
  for (const point of points) {
    const unmounted = at(host, podDir, point, (path) => host.umount(path, flags));
    if (unmounted && stacked) return;
  }
}

/**
 * Calls `act` with a path to `point` that leads through a descriptor of its parent directory, opened without following any link: a link that the pod left in
 * place of a directory must not point us at a mount of the host. False when it did not work this time.
 */
function at(host: Host, podDir: string, point: string, act: (path: string) => void): boolean {
  let state: number | undefined;
  let parent: number | undefined;
  try {
    state = host.openat(AT_FDCWD, dirname(podDir), O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
    const way = relative(dirname(podDir), dirname(point)) || ".";
    parent = host.openat2(state, way, O.PATH | O.DIRECTORY | O.CLOEXEC, 0, RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS);
    act(`/proc/self/fd/${parent}/${basename(point)}`);
    return true;
  } catch (error) {
    // EINVAL: no mount there (any more). EBUSY: next round. ENOENT and the rest: hidden below another mount until that is gone.
    if (!isErrno(error, "EINVAL", "EBUSY", "ENOENT", "ENOTDIR", "ELOOP", "EXDEV")) throw error;
    return false;
  } finally {
    if (parent !== undefined) host.close(parent);
    if (state !== undefined) host.close(state);
  }
}
