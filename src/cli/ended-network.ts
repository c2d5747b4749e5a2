/** Giving back the network of a pod that has ended, before gc comes for the rest of it: its ports, addresses and namespace are free at once. */

import { existsSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/linux.ts";
import { tryLock, unlock } from "../host/lock.ts";
import { isNetnsPath, netnsExists } from "../network/netns.ts";
import { recordedNetns } from "../network/record.ts";
import type { Pod, Remover } from "../pod/mod.ts";
import { builtinFlavor } from "../stage0/builtin-stage1.ts";
import { stage1Tree } from "../stage0/call-stage1.ts";
import { formatGcArguments } from "../stage1-contract/ending-arguments.ts";

/** The pod's directory still says how its networks were made, or its namespace is there (all there is of `--net=none`): nobody has given them back yet. */
export function hasNetwork(pod: Pod): boolean {
  if (existsSync(new PodFiles(pod.dir).net)) return true;
  const netns = recordedNetns(pod.dir);
  return netns !== undefined && isNetnsPath(netns) && netnsExists(linux, netns);
}

/**
 * Has the stage1 of a pod that has ended give the network back. False when the pod runs, is being removed by another process, or has a stage1 of somebody else, whose `gc` may expect the
 * pod among the garbage. Throws STAGE1 when something is left; gc tries again.
 */
export async function giveNetworkBack(engine: Engine, remover: Remover, pod: Pod): Promise<boolean> {
  if (!hasNetwork(pod) || !hasOwnStage1(engine, pod)) return false;
  // Shared: it keeps out gc, and whoever reads the pod's state meanwhile does not take this for its running.
  if (!tryLock(remover.host, pod.fd, "shared")) return false;
  try {
    if (!hasNetwork(pod)) return false; // Another process was faster, or has moved the pod.
    if (remover.processes.populated(`/proc/self/fd/${pod.fd}`, pod.uuid)) return false;
    const argv = formatGcArguments(
      { uuid: pod.uuid, debug: remover.debug, localConfig: remover.localConfigDir },
      OWN_INTERFACE,
    );
    const status = await remover.callStage1(pod.dir, "gc", argv);
    if (status !== 0) throw new RktError("STAGE1", `Cannot give back the network of pod ${quoted(pod.uuid)}`);
    return true;
  } finally {
    unlock(remover.host, pod.fd);
  }
}

/** Of every stage1 that is built with rkt. */
const OWN_INTERFACE = 6;

function hasOwnStage1(engine: Engine, pod: Pod): boolean {
  try {
    return builtinFlavor(stage1Tree(engine, pod.dir).image) !== undefined;
  } catch {
    return false; // Its image is gone: gc copes with that.
  }
}
