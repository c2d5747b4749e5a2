/**
 * Apps of a running pod: the operations behind `rkt app`, for every caller. One command at a time changes what a pod consists of (lock `pod.lck`); an app that is being
 * added or removed has a mark, `appsinfo/APP/unfinished`, and what a killed command left so is removed by the next one that takes the lock.
 */

import { readdirSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { errorLine, RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { replaceFileBeneath } from "../host/beneath.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { isErrno, linux, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { closePod, firstProcess, isReady, openPod, type Pod, podManifest, podReader, retrievePod } from "../pod/mod.ts";
import { formatPodManifest, type PodManifest } from "../spec/appc/mod.ts";
import { type CrossingEntrypoint, callStage1, crossingEnvironment } from "./call-stage1.ts";
import { isMutable } from "./pod-manifest.ts";

/** A running pod whose apps may be changed. `pod.fd` is its directory, wherever that is. */
export interface MutablePod {
  readonly pod: Pod;
  readonly dir: string;
  /** The pod's init. */
  readonly pid: number;
  readonly manifest: PodManifest;
}

/**
 * Calls `act` with the pod that `text` names. Throws retrievePod's errors; WRONG_STATE for a pod that is not running, not ready (`notReady` names it in rkt's words) or not
 * mutable.
 */
export async function withMutablePod<T>(
  engine: Engine,
  text: string,
  notReady: (uuid: string) => string,
  act: (pod: MutablePod) => Promise<T>,
): Promise<T> {
  const pod = retrievePod(podReader(engine.dataDir, linux), text);
  try {
    return await act(lookInside(pod, notReady));
  } finally {
    closePod(linux, pod);
  }
}

/** {@link withMutablePod}, alone: holds the pod's lock meanwhile, after what a killed command has left was removed. */
export function changingPod<T>(
  engine: Engine,
  text: string,
  notReady: (uuid: string) => string,
  act: (pod: MutablePod) => Promise<T>,
): Promise<T> {
  return withMutablePod(engine, text, notReady, async ({ pod }) => {
    const lock = linux.openat(pod.fd, "pod.lck", O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC, 0o600);
    try {
      await lockWithBackoff(linux, lock, "exclusive", { what: `pod ${quoted(pod.uuid)}` });
      requireRunning(engine, pod);
      await finishRemovals(engine, lookInside(pod, notReady));
      return await act(lookInside(pod, notReady));
    } finally {
      linux.close(lock);
    }
  });
}

function lookInside(pod: Pod, notReady: (uuid: string) => string): MutablePod {
  if (pod.state !== "running" || pod.supervisorLost)
    throw new RktError("WRONG_STATE", `pod ${quoted(pod.uuid)} isn't currently running`);
  const manifest = podManifest(linux, pod);
  if (!isMutable(manifest)) {
    throw new RktError("WRONG_STATE", `immutable pod: the apps of pod ${quoted(pod.uuid)} cannot be changed`, {
      hint: "`rkt app sandbox` starts a pod whose apps can",
    });
  }
  const pid = isReady(linux, pod) ? firstProcess(linux, pod) : undefined;
  if (pid === undefined)
    throw new RktError("WRONG_STATE", notReady(pod.uuid), { hint: "`rkt status --wait-ready` waits for it" });
  return { pod, dir: pod.dir, pid, manifest };
}

/** While this process waited for the lock the pod may have ended. */
function requireRunning(engine: Engine, { uuid }: Pod): void {
  const now = openPod(podReader(engine.dataDir, linux), uuid);
  if (now !== undefined) closePod(linux, now);
  if (now?.state !== "running" || now.supervisorLost)
    throw new RktError("WRONG_STATE", `pod ${quoted(uuid)} isn't currently running`);
}

/** Runs a crossing entrypoint; gives its status. Throws STAGE1 when the pod's stage1 has none. */
export function crossInto(
  engine: Engine,
  { dir, pid }: { readonly dir: string; readonly pid: number },
  entrypoint: CrossingEntrypoint,
  argv: readonly string[],
): Promise<number> {
  return callStage1(
    engine,
    dir,
    entrypoint,
    [`--debug=${engine.debug}`, ...argv],
    crossingEnvironment(engine, dir, pid),
  );
}

/** The pod's directory through its descriptor: gone when the pod is, never made again by a path. */
export function filesOf({ pod }: Pick<MutablePod, "pod">): PodFiles {
  return new PodFiles(`/proc/self/fd/${pod.fd}`);
}

export function replaceManifest({ pod }: MutablePod, manifest: PodManifest): void {
  replaceFileBeneath(linux, `/proc/self/fd/${pod.fd}`, "pod", formatPodManifest(manifest), 0o640);
}

/** Takes an app out of the pod and out of its manifest; can be repeated. The caller holds the pod's lock and has set the app's mark. */
export async function takeOut(engine: Engine, mutable: MutablePod, app: string): Promise<void> {
  const status = await crossInto(engine, mutable, "appRm", [`--app=${app}`]);
  if (status !== 0) throw new RktError("STAGE1", `error removing app ${quoted(app)}: exit status ${status}`);
  // As it is now: an app that was not added whole is in it, or not.
  const manifest = podManifest(linux, mutable.pod);
  replaceManifest(mutable, { ...manifest, apps: manifest.apps.filter(({ name }) => name !== app) });
  for (const tree of entries(mutable.pod, "overlay"))
    for (const part of ["upper", "work"]) removeBelow(mutable.pod, `overlay/${tree}/${part}`, app);
  removeBelow(mutable.pod, "added", app);
  // Last: with it goes the mark.
  removeBelow(mutable.pod, "appsinfo", app);
}

/** An add that was killed is undone, a removal that was killed is finished. */
async function finishRemovals(engine: Engine, mutable: MutablePod): Promise<void> {
  for (const app of entries(mutable.pod, "appsinfo")) {
    if (!entries(mutable.pod, `appsinfo/${app}`).includes("unfinished")) continue;
    engine.emit({ kind: "debug", source: "stage0", text: `removing what is left of app ${quoted(app)}` });
    try {
      await takeOut(engine, mutable, app);
    } catch (error) {
      throw new RktError(
        "STAGE1",
        `Cannot remove what a command that was killed has left of app ${quoted(app)}: ${errorLine(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

/** Directories of the pod outside its stage1's root, which only rkt writes to. */
function entries(pod: Pod, directory: string): string[] {
  try {
    return readdirSync(`/proc/self/fd/${pod.fd}/${directory}`);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function removeBelow(pod: Pod, directory: string, name: string): void {
  if (!entries(pod, directory).includes(name)) return;
  const parent = linux.openat(pod.fd, directory, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(linux, parent, name);
  } finally {
    linux.close(parent);
  }
}
