/** A pod that could not be prepared or started: taken away again, so that a mistake on the command line leaves nothing half done. */

import { closeSync, openSync, readlinkSync } from "node:fs";
import type { Engine } from "../core/engine.ts";
import { errorLine } from "../core/errors.ts";
import type { PreparedPod } from "../core/spine.ts";
import { CLONE, linux } from "../host/mod.ts";
import { callStage1 } from "./call-stage1.ts";

/** Where rkt came from: descriptors of the namespaces that a start may leave. */
export interface Home {
  readonly mount: number;
  readonly network: number;
}

export function rememberHome(): Home {
  return { mount: openSync("/proc/self/ns/mnt", "r"), network: openSync("/proc/self/ns/net", "r") };
}

/**
 * Removes a pod of this process: its network, mounts, cgroup and files. The caller holds the pod's lock, which stays held until this process ends. Never throws: what cannot be
 * removed (a start that failed after it had given up root's rights) stays for `rkt gc`, and is told with --debug.
 */
export async function abandonPod(engine: Engine, pod: PreparedPod, home?: Home): Promise<void> {
  const tell = (text: string) => engine.emit({ kind: "debug", source: "stage0", text });
  try {
    if (home !== undefined) goHome(home);
    const { leavePodCgroup, movePod, podReader, removeGarbage, stateDirOf } = await import("../pod/mod.ts");
    const remover = {
      ...podReader(engine.dataDir, linux),
      callStage1: (dir: string, entrypoint: "gc" | "stop", argv: readonly string[]) =>
        callStage1(engine, dir, entrypoint, argv),
      localConfigDir: engine.localConfigDir,
      debug: engine.debug,
      tell,
    };
    leavePodCgroup(remover.processes, pod);
    const place = stateDirOf(pod.dir) === "run" ? "exited-garbage" : "garbage";
    const moved = movePod(engine.dataDir, linux, pod, place);
    const state = place === "garbage" ? "garbage" : "exited garbage";
    await removeGarbage(remover, { ...moved, place, state, supervisorLost: false, fd: pod.lockFd });
  } catch (error) {
    tell(`pod ${pod.uuid} is left for gc: ${errorLine(error)}`);
  }
}

/** Back from where a start got to. After it, all threads are in the same namespaces again. */
function goHome(home: Home): void {
  // setns(2) refuses a thread that shares its root directory with others; unshare(2) gave the main thread one of its own.
  if (!isHere(home.mount, "mnt")) linux.setns(home.mount, CLONE.NEWNS);
  if (!isHere(home.network, "net")) linux.setns(home.network, CLONE.NEWNET);
  closeSync(home.mount);
  closeSync(home.network);
}

/** /proc/self is the main thread's. Where there is none (any more), the answer is no. */
function isHere(fd: number, kind: string): boolean {
  try {
    return readlinkSync(`/proc/self/ns/${kind}`) === readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return false;
  }
}
