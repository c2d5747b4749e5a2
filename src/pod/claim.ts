/** Pods that another command works on: the prepared one that is about to run, the running one that is entered. */

import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { PreparedPod, RunningPod } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { childrenOf, isInit } from "../host/child-processes.ts";
import type { Host } from "../host/host.ts";
import { tryLock } from "../host/lock.ts";
import { closePod, lookAgain, type Pod, podReader, retrievePod } from "./find.ts";
import { appNames } from "./names.ts";
import { readPodNumber } from "./read.ts";
import { wasReady } from "./view.ts";

/** Another command's short look may hold the lock; a gc that expires the pod, or a second run-prepared, keeps it. */
const LOCK_ATTEMPTS = 20;

/** Locks a prepared pod for this process. Throws WRONG_STATE `pod "x" is not prepared`, CONFLICT when another process is at it, and retrievePod's errors. */
export function claimPreparedPod(dataDir: DataDir, host: Host, text: string): PreparedPod {
  const reader = podReader(dataDir, host);
  const pod = retrievePod(reader, text);
  try {
    if (pod.place !== "prepared") throw new RktError("WRONG_STATE", `pod ${quoted(pod.uuid)} is not prepared`);
    for (let attempt = 0; !tryLock(host, pod.fd, "exclusive"); attempt++) {
      if (attempt === LOCK_ATTEMPTS) {
        throw new RktError(
          "CONFLICT",
          `Cannot run pod ${quoted(pod.uuid)}: another process is about to run or remove it`,
        );
      }
      Bun.sleepSync(5);
    }
    return { uuid: pod.uuid, dir: pod.dir, lockFd: pod.fd };
  } catch (error) {
    closePod(host, pod);
    throw error;
  }
}

/**
 * A running pod, its first process and its apps. Waits while the stage1 is about to record its process. Throws WRONG_STATE `pod "x" isn't currently running`,
 * and retrievePod's errors.
 */
export function runningPod(
  dataDir: DataDir,
  host: Host,
  text: string,
): RunningPod & { readonly apps: readonly string[] } {
  const reader = podReader(dataDir, host);
  let pod: Pod | undefined = retrievePod(reader, text);
  const { uuid } = pod;
  for (let pause = 5; pod?.state === "running"; pause = Math.min(pause * 2, 100)) {
    const pid = firstProcess(host, pod);
    if (pid !== undefined) {
      const apps = appNames(host, pod).map(({ name }) => name);
      closePod(host, pod);
      return { uuid, dir: pod.dir, pid, apps };
    }
    if (pod.supervisorLost) break;
    Bun.sleepSync(pause);
    pod = lookAgain(reader, pod);
  }
  if (pod !== undefined) closePod(host, pod);
  throw new RktError("WRONG_STATE", `pod ${quoted(uuid)} isn't currently running`);
}

/**
 * `pid`, or the pod's init, the only such child of the process in `ppid`; undefined while there is none: systemd-nspawn first has a child that sets the pod up, makes its init and ends. A stage1 of
 * others may have no process namespace: its only child counts, once it says that the pod is ready. Throws WRONG_STATE when the supervisor has several.
 */
export function firstProcess(host: Host, pod: Pod): number | undefined {
  const pid = readPodNumber(host, pod, "pid");
  if (pid !== undefined) return pid;
  const supervisor = readPodNumber(host, pod, "ppid");
  if (supervisor === undefined) return undefined;
  const children = childrenOf(supervisor);
  const inits = children.filter(isInit);
  // Not before that mark: rkt itself, and the programs that it starts for the network, come before the supervisor, and are the host's.
  const [child, ...others] = inits.length === 0 && wasReady(host, pod) ? children : inits;
  if (others.length > 0) throw new RktError("WRONG_STATE", `too many children of pid ${supervisor}`);
  return child;
}
