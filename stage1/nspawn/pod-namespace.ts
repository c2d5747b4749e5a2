/**
 * Mounting in a pod that runs: this process joins the pod's mount namespace for the length of a few synchronous calls. Nothing is loaded and nothing executed there,
 * every path is resolved by the kernel inside the pod's root, and /proc is the pod's: no path through /proc/self leads anywhere.
 */

import { closeSync, openSync } from "node:fs";
import {
  AT_FDCWD,
  CLONE,
  type Host,
  isErrno,
  MNT_DETACH,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  O,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  UMOUNT_NOFOLLOW,
} from "../../src/host/mod.ts";
import { makeDirectoryInRoot, openInRoot, openRoot } from "../common/in-root.ts";
import { type AppMounts, furnishRoot, SHARED_MEMORY } from "./app-mounts.ts";
import type { PodInit } from "./enter-request.ts";
import type { LaterApps } from "./later-apps.ts";

/**
 * Mounts an app's tree, which is mounted at `rootfs` in the caller's mount namespace, in the pod, and everything that an app has there. What a failure leaves is for
 * {@link unmountApp}. Throws INVALID_INPUT for what the image makes impossible.
 */
export function mountAddedApp(host: Host, pod: PodInit, rootfs: string, app: AppMounts, later: LaterApps): void {
  const tree = host.openTree(AT_FDCWD, rootfs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  inPod(host, pod, () => {
    const stage1 = openRoot(host, "/");
    const place = makeDirectoryInRoot(host, stage1, placeOf(app.name));
    host.moveMount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    const root = openInRoot(host, stage1, placeOf(app.name), O.PATH | O.DIRECTORY);
    // The apps of a pod share their memory: here it is the pod's own, which outlives each of them.
    const memory = openInRoot(host, stage1, SHARED_MEMORY, O.PATH | O.DIRECTORY);
    const attached = new Map([[SHARED_MEMORY, memory]]);
    furnishRoot(host, stage1, root, app, { resolver: later.resolver, dev: later.dev, attached });
    for (const fd of [tree, place, root, stage1, ...attached.values()]) host.close(fd);
  });
}

/** Takes an app's mounts out of the pod. Its processes are gone. */
export function unmountApp(host: Host, pod: PodInit, app: string): void {
  inPod(host, pod, () => {
    const stage1 = openRoot(host, "/");
    let parent: number;
    try {
      parent = openInRoot(host, stage1, `/opt/stage2/${app}`, O.PATH | O.DIRECTORY);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    host.fchdir(parent);
    try {
      // Whatever was mounted on top of each other there: one at a time, each with what is below it.
      for (;;) host.umount("rootfs", UMOUNT_NOFOLLOW | MNT_DETACH);
    } catch (error) {
      if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
    }
    for (const fd of [parent, stage1]) host.close(fd);
  });
}

function placeOf(app: string): string {
  return `/opt/stage2/${app}/rootfs`;
}

/** Calls `act` with "/" being the pod's root, and comes back in any case. */
function inPod(host: Host, pod: PodInit, act: () => void): void {
  const home = openSync("/proc/self/ns/mnt", "r");
  const directory = openSync(".", "r");
  // The root and working directory become this thread's own: setns(2) refuses a thread that shares them.
  host.unshare(CLONE.FS);
  host.setns(pod.pidfd, CLONE.NEWNS);
  try {
    act();
  } finally {
    host.setns(home, CLONE.NEWNS);
    host.fchdir(directory);
    closeSync(home);
    closeSync(directory);
  }
}
