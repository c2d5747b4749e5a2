/** Finding pods and telling their states, without holding a lock and without being confused by pods that move meanwhile. */

import { readdirSync } from "node:fs";
import { type DataDir, POD_STATE_DIRS, type PodStateDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isUuid, type PodUuid } from "../core/uuid.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { tryLock, unlock } from "../host/lock.ts";
import { openPodDir } from "./pod-dir.ts";
import { uuidOfName } from "./pod-name.ts";
import { type ProcessFinder, processFinder } from "./processes.ts";
import { lockTells, type PodState, podState } from "./state.ts";

/** A pod as it was when it was looked at. */
export interface Pod {
  readonly uuid: PodUuid;
  /** Where it was. */
  readonly dir: string;
  readonly place: PodStateDir;
  readonly state: PodState;
  /** Running, but nobody holds its lock: the supervisor was killed, processes are left. */
  readonly supervisorLost: boolean;
  /** The open directory: what is read through it is the same pod's, wherever it has been moved. No lock is held. */
  readonly fd: number;
}

/** What the walks need. */
export interface PodReader {
  readonly dataDir: DataDir;
  readonly host: Host;
  readonly processes: ProcessFinder;
}

export function podReader(dataDir: DataDir, host: Host): PodReader {
  return { dataDir, host, processes: processFinder() };
}

/** What `list` shows: not yet born and never to run are left out. */
export const LISTED_PLACES: readonly PodStateDir[] = ["prepare", "prepared", "run", "exited-garbage"];

/**
 * The pods in `places`, by UUID; each is closed when the next one is asked for. A pod that moves during the walk is seen once, or not at all when it moved out of
 * `places`. What is no pod's is told to `onProblem`. Throws PERMISSION when the caller may not look.
 */
export function* eachPod(
  reader: PodReader,
  places: readonly PodStateDir[],
  onProblem: (text: string) => void,
): Generator<Pod> {
  for (const [name, place] of podPlaces(reader.dataDir, places)) {
    if (!isUuid(name)) {
      onProblem(`skipping ${quoted(name)}: it is no pod UUID`);
      continue;
    }
    let pod: Pod | undefined;
    try {
      pod = openPod(reader, name, place);
    } catch (error) {
      onProblem(`skipping ${quoted(name)}: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    if (pod === undefined) continue;
    try {
      if (places.includes(pod.place)) yield pod;
    } finally {
      closePod(reader.host, pod);
    }
  }
}

/**
 * The one pod that is called `text`, or whose UUID begins with it, in either case; the caller closes it. Throws rkt's errors: NOT_FOUND `no matches found for "x"`, AMBIGUOUS
 * `ambiguous uuid, N matches`, USAGE `UUID cannot be empty`.
 */
export function findPod(reader: PodReader, text: string): Pod {
  const prefix = text.toLowerCase();
  if (prefix === "") throw new RktError("USAGE", "UUID cannot be empty");
  const named = uuidOfName(reader.dataDir, text);
  const called = named === undefined ? undefined : openPod(reader, named);
  if (called !== undefined) return called;
  const matches = isUuid(prefix)
    ? [prefix]
    : podNames(reader.dataDir, POD_STATE_DIRS).filter(
        (name): name is PodUuid => isUuid(name) && name.startsWith(prefix),
      );
  const [uuid] = matches;
  if (matches.length > 1) throw new RktError("AMBIGUOUS", `ambiguous uuid, ${matches.length} matches`);
  const pod = uuid === undefined ? undefined : openPod(reader, uuid);
  if (pod === undefined) throw new RktError("NOT_FOUND", `no matches found for ${quoted(prefix)}`);
  return pod;
}

/** {@link findPod} for a command about one pod: what is wrong is told under rkt's words for that. */
export function retrievePod(reader: PodReader, text: string, doing = "problem retrieving pod"): Pod {
  try {
    return findPod(reader, text);
  } catch (cause) {
    throw cause instanceof RktError ? new RktError(cause.code, doing, { cause }) : cause;
  }
}

/** Looks at pod `uuid`; undefined when there is none (any more). `likely`: where it was seen a moment ago. The caller closes it. */
export function openPod(reader: PodReader, uuid: PodUuid, likely?: PodStateDir): Pod | undefined {
  // In the order of a pod's life: one that moves on while it is looked for is met in a later directory.
  for (const place of likely === undefined ? POD_STATE_DIRS : [likely, ...POD_STATE_DIRS]) {
    const dir = reader.dataDir.pod(place, uuid);
    let fd: number;
    try {
      fd = openPodDir(reader.host, dir);
    } catch (error) {
      if (isErrno(error, "ENOENT")) continue;
      if (isErrno(error, "EACCES")) throw permission(`read pod ${uuid}`, error);
      throw error;
    }
    try {
      const locked = lockTells(place) && isLocked(reader.host, fd);
      const populated = place === "run" && !locked && reader.processes.populated(`/proc/self/fd/${fd}`, uuid);
      return { uuid, dir, place, state: podState(place, locked, populated), supervisorLost: populated, fd };
    } catch (error) {
      reader.host.close(fd);
      throw error;
    }
  }
  return undefined;
}

export function closePod(host: Host, pod: Pod): void {
  host.close(pod.fd);
}

/** The same pod, looked at again; undefined when it is gone. The old look is closed. */
export function lookAgain(reader: PodReader, pod: Pod): Pod | undefined {
  closePod(reader.host, pod);
  return openPod({ ...reader, processes: processFinder() }, pod.uuid);
}

/** A shared lock for a moment: many readers do not disturb each other, and who wants the exclusive one tries again (lockWithBackoff). */
function isLocked(host: Host, fd: number): boolean {
  if (!tryLock(host, fd, "shared")) return true;
  unlock(host, fd);
  return false;
}

/** Names in the directories of `places`, each once, sorted. Read in the order of a pod's life, so that none slips through by moving on. */
export function podNames(dataDir: DataDir, places: readonly PodStateDir[]): string[] {
  return podPlaces(dataDir, places).map(([name]) => name);
}

function podPlaces(dataDir: DataDir, places: readonly PodStateDir[]): [name: string, place: PodStateDir][] {
  const names = new Map<string, PodStateDir>();
  for (const place of POD_STATE_DIRS) {
    if (!places.includes(place)) continue;
    try {
      for (const name of readdirSync(dataDir.podsIn(place))) names.set(name, place);
    } catch (error) {
      if (isErrno(error, "ENOENT")) continue; // Nothing was ever prepared here.
      if (isErrno(error, "EACCES")) throw permission("read pods directory", error);
      throw error;
    }
  }
  return [...names].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function permission(what: string, cause: unknown): RktError {
  return new RktError("PERMISSION", `cannot ${what}: permission denied`, {
    cause,
    hint: 'only root and members of group "rkt" may see the pods',
  });
}
