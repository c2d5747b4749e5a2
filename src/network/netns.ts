/** Network namespaces that live as files under /run/netns, as ip-netns(8) has them, so that `ip netns exec` works on pods. */

import { closeSync, mkdirSync, openSync, readdirSync, unlinkSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { CLONE, MNT_DETACH, MS, UMOUNT_NOFOLLOW } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";

const NETNS_DIR = "/run/netns";

/** statfs(2): the type of namespace files. */
const NSFS_MAGIC = 0x6e736673;

/** rkt 1.x wrote /var/run/netns; nothing outside these two directories is ever unmounted or removed on the word of a pod's file. */
const NETNS_PATH = /^\/(?:var\/)?run\/netns\/[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Where the namespace of pod `uuid` is. The name follows from the UUID: after a crash it is known without having been written down. */
export function netnsPath(uuid: string): string {
  return `${NETNS_DIR}/cni-${uuid}`;
}

export function isNetnsPath(path: string): boolean {
  return NETNS_PATH.test(path);
}

/** True while a namespace is mounted on the file. */
export function netnsExists(host: Host, path: string): boolean {
  try {
    return host.fileSystemType(path) === NSFS_MAGIC;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/**
 * Makes a network namespace, its loopback interface up, bound to `path`. This process is back in its own namespace when it returns. Throws CONFLICT when there is
 * one already, SYSTEM_CALL.
 */
export function createNetns(host: Host, path: string): void {
  makeSharedDirectory(host);
  if (netnsExists(host, path)) {
    throw new RktError("CONFLICT", `Cannot create network namespace ${quoted(path)}: it exists already`, {
      hint: "a pod's network is set up once; `rkt gc` removes what a dead pod left",
    });
  }
  // An empty file may be left of a boot before (where /run is on disk) or of a set-up that was killed here.
  closeSync(openSync(path, "a", 0o444));
  // unshare(2) with CLONE_NEWNET moves the calling thread only. Everything until the return is synchronous and on the main thread, so no other code of this
  // process sees the new namespace; children are started from the main thread, after the return.
  const own = openSync("/proc/self/ns/net", "r");
  try {
    host.unshare(CLONE.NEWNET);
    try {
      host.interfaceUp("lo");
      host.mount("/proc/self/ns/net", path, "none", MS.BIND, null);
    } finally {
      host.setns(own, CLONE.NEWNET);
    }
  } catch (error) {
    removeNetns(host, path);
    throw error;
  } finally {
    closeSync(own);
  }
}

/** Binds the namespace file `source` to `path`, which lost it. */
export function bindNetns(host: Host, source: string, path: string): void {
  makeSharedDirectory(host);
  closeSync(openSync(path, "a", 0o444));
  host.mount(source, path, "none", MS.BIND, null);
}

/** Every namespace named like a pod's, mounted or not. */
export function listNetns(): string[] {
  try {
    return readdirSync(NETNS_DIR)
      .filter((name) => name.startsWith("cni-"))
      .sort()
      .map((name) => `${NETNS_DIR}/${name}`);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Moves this process into the namespace at `path`; synchronous, for the moment right before the hand-over (main thread; setns(2)). */
export function joinNetns(host: Host, path: string): void {
  const fd = openSync(path, "r");
  try {
    host.setns(fd, CLONE.NEWNET);
  } finally {
    closeSync(fd);
  }
}

/** Unmounts and removes the namespace's file; the kernel ends the namespace with its last process. Nothing there is fine. Throws SYSTEM_CALL. */
export function removeNetns(host: Host, path: string): void {
  // More than one mount may lie on the file: propagation through a shared parent repeats them (ip-netns(8) has the same).
  for (let mounts = 0; mounts < 16; mounts += 1) {
    try {
      host.umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return;
      if (isErrno(error, "EINVAL")) break;
      throw error;
    }
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** The directory becomes a shared mount, so that a namespace's file appears in, and disappears from, every mount namespace (as `ip netns add` does it). */
function makeSharedDirectory(host: Host): void {
  mkdirSync(NETNS_DIR, { recursive: true, mode: 0o755 });
  const share = () => host.mount(null, NETNS_DIR, "none", MS.SHARED | MS.REC, null);
  try {
    share();
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    host.mount(NETNS_DIR, NETNS_DIR, "none", MS.BIND | MS.REC, null);
    share();
  }
}
