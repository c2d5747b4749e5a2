/** What a pod's directory, its lock and its processes say together (docs/pod-lifecycle.md shows the same as a table). Names: rkt 1.x. */

import type { PodStateDir } from "../core/data-dir.ts";

export type PodState =
  | "embryo"
  | "preparing"
  | "aborted prepare"
  | "prepared"
  | "running"
  | "exited"
  | "exited garbage"
  | "exited deleting"
  | "garbage"
  | "deleting";

const UNLOCKED: Readonly<Record<PodStateDir, PodState>> = {
  embryo: "embryo",
  prepare: "aborted prepare",
  prepared: "prepared",
  run: "exited",
  "exited-garbage": "exited garbage",
  garbage: "garbage",
};

const LOCKED: Readonly<Record<PodStateDir, PodState>> = {
  embryo: "embryo",
  prepare: "preparing",
  prepared: "prepared",
  run: "running",
  "exited-garbage": "exited deleting",
  garbage: "deleting",
};

/** `populated`: a process is left in the pod's cgroup (fly: with its root in the pod), which only matters when nobody holds the lock. */
export function podState(place: PodStateDir, locked: boolean, populated: boolean): PodState {
  if (locked) return LOCKED[place];
  return place === "run" && populated ? "running" : UNLOCKED[place];
}

/** True when the lock says something about a pod in `place`; elsewhere it is only held for moments. */
export function lockTells(place: PodStateDir): boolean {
  return LOCKED[place] !== UNLOCKED[place];
}

/** The pod ran, or will never run: `stop` has nothing to do. */
export function isAfterRun(state: PodState): boolean {
  return ["exited", "exited garbage", "exited deleting", "garbage", "deleting"].includes(state);
}

/** `status --wait` waits for one of these. */
export function isFinished(state: PodState): boolean {
  return state === "aborted prepare" || isAfterRun(state);
}
