/** `rkt gc`: pods that are over become garbage, and garbage that is old enough goes. Two passes, so that what exited can be looked at for a while. */

import { existsSync } from "node:fs";
import type { PodStateDir } from "../core/data-dir.ts";
import { errorLine } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { tryLock } from "../host/lock.ts";
import { releaseLostNames } from "./claim-pod-name.ts";
import { eachPod, type Pod } from "./find.ts";
import { moveToGarbage, type Remover, removeGarbage } from "./remove.ts";
import { changedAt } from "./view.ts";

export interface GcOptions {
  /** Milliseconds between a pod's becoming garbage and its removal. */
  readonly gracePeriod: number;
  /** Milliseconds a prepared pod may wait for its run. */
  readonly expirePrepared: number;
  /** Removes nothing: only notes, as the time of the move, that pods have exited. */
  readonly markOnly: boolean;
  /** A line for stdout. */
  readonly say: (text: string) => void;
}

/** An embryo is locked within moments of its birth; one that is this old was left by a crash. Milliseconds. */
const EMBRYO_LIFETIME = 60_000;

/** Collects; gives the number of pods that should have gone and did not. Each failure was told. */
export async function collectGarbage(remover: Remover, options: GcOptions): Promise<number> {
  await each(remover, ["run"], async (pod) => {
    if (pod.state !== "exited" && !pod.supervisorLost) return;
    remover.tell(`moving pod ${quoted(pod.uuid)} to garbage`);
    await moveToGarbage(remover, pod, "exited-garbage");
  });
  await each(remover, ["embryo", "prepare"], async (pod) => {
    if (pod.state !== "aborted prepare" && !(pod.state === "embryo" && isOlder(pod, EMBRYO_LIFETIME))) return;
    remover.tell(`moving failed prepare ${quoted(pod.uuid)} to garbage`);
    await moveToGarbage(remover, pod, "garbage");
  });
  if (options.markOnly) return 0;
  await each(remover, ["prepared"], async (pod) => {
    if (!isOlder(pod, options.expirePrepared)) return;
    remover.tell(`moving expired prepared pod ${quoted(pod.uuid)} to garbage`);
    await moveToGarbage(remover, pod, "garbage");
  });
  releaseLostNames(remover);
  let failures = 0;
  const remove = async (pod: Pod) => {
    options.say(`Garbage collecting pod ${quoted(pod.uuid)}`);
    if (!(await removeGarbage(remover, pod)) && !isAnothers(remover, pod)) failures += 1;
  };
  await each(remover, ["exited-garbage"], async (pod) => {
    if (pod.state === "exited deleting") return;
    // `--rm`: whoever was to remove it at its end was killed.
    if (existsSync(`/proc/self/fd/${pod.fd}/remove-at-end`) || isOlder(pod, options.gracePeriod)) return remove(pod);
    const period = goDuration(options.gracePeriod);
    remover.tell(`pod ${quoted(pod.uuid)} not removed: still within grace period (${period})`);
  });
  await each(remover, ["garbage"], async (pod) => {
    if (pod.state === "garbage") await remove(pod);
  });
  return failures;
}

/** Another gc removes, or has removed, the pod: it holds the lock, which this process would hold had it got that far. */
function isAnothers({ host }: Remover, pod: Pod): boolean {
  return !existsSync(pod.dir) || !tryLock(host, pod.fd, "shared");
}

/** One pod's trouble is told and does not keep the others. */
async function each(remover: Remover, places: readonly PodStateDir[], act: (pod: Pod) => Promise<void>): Promise<void> {
  for (const pod of eachPod(remover, places, remover.tell)) {
    try {
      await act(pod);
    } catch (error) {
      remover.tell(`pod ${quoted(pod.uuid)}: ${errorLine(error)}`);
    }
  }
}

/** By the ctime of the pod's directory, which the move to where it is has set. */
function isOlder(pod: Pod, milliseconds: number): boolean {
  const since = changedAt(pod);
  return since !== undefined && Date.now() - Number(since / 1_000_000n) >= milliseconds;
}

/** As Go prints a duration: "30m0s", "1h0m0s", "1.5s", "250ms", "0s". */
export function goDuration(milliseconds: number): string {
  if (milliseconds < 0) return `-${goDuration(-milliseconds)}`;
  if (milliseconds === 0) return "0s";
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const hours = Math.floor(milliseconds / 3_600_000);
  const minutes = Math.floor((milliseconds % 3_600_000) / 60_000);
  const seconds = `${(milliseconds % 60_000) / 1000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}
