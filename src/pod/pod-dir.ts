/**
 * A pod's directory: made, locked and moved. The directory that holds it and the lock on it are the pod's state (docs/pod-lifecycle.md), so both change in
 * an order that every moment of a crash leaves readable: embryo (nothing promised) → prepare, locked → prepared → run, locked → exited-garbage → gone.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { type DataDir, POD_STATE_DIRS, PodFiles, type PodStateDir } from "../core/data-dir.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { PreparedPod } from "../core/spine.ts";
import { newUuid, type PodUuid, parseUuid } from "../core/uuid.ts";
import { AT_FDCWD, O } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { tryLock } from "../host/lock.ts";

/**
 * Makes a pod under a new UUID (or `uuid`): pods/prepare/UUID with `pod-created` in it, exclusively locked. `lockFd` is close-on-exec; whoever hands over
 * clears that. Throws SYSTEM_CALL; PERMISSION when the caller may not write there; CONFLICT when the UUID is taken.
 */
export function createPod(dataDir: DataDir, host: Host, uuid: PodUuid = newUuid()): PreparedPod {
  ensurePodDirs(dataDir);
  const embryo = dataDir.pod("embryo", uuid);
  makeDirectory(embryo);
  let lockFd: number | undefined;
  try {
    lockFd = openPodDir(host, embryo);
    if (!tryLock(host, lockFd, "exclusive")) throw internalError(`the new pod ${uuid} is locked by another process`);
    writeFileSync(new PodFiles(embryo).created, "", { mode: 0o644 });
    return movePod(dataDir, host, { uuid, dir: embryo, lockFd }, "prepare");
  } catch (error) {
    if (lockFd !== undefined) closeSync(lockFd);
    try {
      rmdirSync(embryo);
    } catch {
      // An embryo that stays is collected by gc.
    }
    throw error;
  }
}

/**
 * Moves the pod to another state's directory: rename(2), then fsync of both parents, so that after a power cut it is in one of the two. The lock stays. The
 * caller holds the lock, or is the only one who may move it (docs/pod-lifecycle.md). Throws NOT_FOUND when the pod was moved by another process meanwhile.
 */
export function movePod<P extends { readonly uuid: PodUuid; readonly dir: string }>(
  dataDir: DataDir,
  _host: Host,
  pod: P,
  to: PodStateDir,
): P {
  const target = dataDir.pod(to, pod.uuid);
  try {
    renameSync(pod.dir, target);
  } catch (error) {
    if (isErrno(error, "ENOENT")) {
      throw new RktError("NOT_FOUND", `Cannot move pod ${pod.uuid} to ${to}: another process moved it`, {
        cause: error,
      });
    }
    throw podDirError("move", pod.uuid, error);
  }
  // An embryo promises nothing: lost or not, the next gc has the same to do. (A sync costs milliseconds of every start.)
  if (to !== "prepare")
    for (const parent of [dataDir.podsIn(stateDirOf(pod.dir)), dataDir.podsIn(to)]) syncDirectory(parent);
  return { ...pod, dir: target };
}

/** Opens a pod's directory for its lock: close-on-exec, never through a symbolic link. Throws SystemCallError. */
export function openPodDir(host: Host, dir: string): number {
  return host.openat(AT_FDCWD, dir, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
}

/** Makes pods/ and the directory of every state where they are missing: 2750, as rkt 1.x has them (group rkt by the parent's setgid bit). */
export function ensurePodDirs(dataDir: DataDir): void {
  for (const state of POD_STATE_DIRS) {
    try {
      mkdirSync(dataDir.podsIn(state), { recursive: true, mode: 0o750 });
    } catch (error) {
      throw podDirError("make the directories of", "pods", error);
    }
  }
}

/** The state directory that `dir` (…/pods/STATE/UUID) lies in. */
export function stateDirOf(dir: string): PodStateDir {
  const name = basename(dir.slice(0, -basename(dir).length - 1));
  const state = POD_STATE_DIRS.find((known) => known === name);
  if (state === undefined) throw internalError(`${dir} is no pod directory`);
  return state;
}

/** The UUID of the pod in `dir`. Throws INVALID_INPUT. */
export function uuidOf(dir: string): PodUuid {
  return parseUuid(basename(dir));
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, 0o750);
  } catch (error) {
    throw podDirError("create", basename(path), error);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } catch (error) {
    // fsync(2): some network and FUSE file systems have no such thing for a directory; then there is nothing to wait for.
    if (!isErrno(error, "EINVAL", "ENOTSUP")) throw error;
  } finally {
    closeSync(fd);
  }
}

function podDirError(doing: string, what: string, error: unknown): RktError {
  if (isErrno(error, "EACCES", "EPERM")) {
    return new RktError("PERMISSION", `Cannot ${doing} pod ${what}: permission denied`, { cause: error });
  }
  const code = isErrno(error, "EEXIST", "ENOTEMPTY") ? "CONFLICT" : "SYSTEM_CALL";
  return new RktError(code, `Cannot ${doing} pod ${what}`, { cause: error });
}
