/**
 * Processes whose root directory lies in a pod. fly pods have no cgroup (rkt became the app, in the caller's own), and a recorded process group is no evidence by itself: numbers are used
 * again, and a pod started by a script shares the script's group, so killing the group could kill strangers. A root directory below …/UUID/ is nobody else's. Reading it takes root
 * (proc_pid_root(5)).
 */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";

/** One walk over /proc for all pods: their processes, but for this one, by the pod's UUID. */
export function processesByPod(): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const uuid = podOfRoot(pid);
    if (uuid !== undefined) found.set(uuid, [...(found.get(uuid) ?? []), pid]);
  }
  return found;
}

/** Looks once more before it signals: between the search and now the number may have passed to another process. */
export function signalRooted(host: Pick<Host, "kill">, pid: number, uuid: string, signal: number): void {
  if (podOfRoot(pid) !== uuid) return;
  try {
    host.kill(pid, signal);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

const POD_ROOT = /\/pods\/(?:run|exited-garbage)\/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\//;

function podOfRoot(pid: number): string | undefined {
  try {
    const uuid = POD_ROOT.exec(readlinkSync(`/proc/${pid}/root`))?.[1];
    return uuid === undefined || isZombie(pid) ? undefined : uuid;
  } catch {
    return undefined; // It ended, or it is another user's.
  }
}

/** A zombie's link still reads; it runs nothing and cannot be killed again. */
function isZombie(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return "ZX".includes(stat.charAt(stat.lastIndexOf(")") + 2));
}
