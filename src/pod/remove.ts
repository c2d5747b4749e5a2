/**
 * Removing a pod for good: `removeGarbage` below is the list of what happens, in order. Every step can be repeated, so a pod that was removed half (a crash, a
 * busy mount) is finished by the next gc.
 */

import { existsSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { errorLine } from "../core/errors.ts";
import { listOf, objectOf } from "../core/json.ts";
import { quoted } from "../core/text.ts";
import { removePodCgroup } from "../host/cgroup-processes.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff, tryLock } from "../host/lock.ts";
import { readMountInfo } from "../host/mount-info.ts";
import { removeTree } from "../host/remove-tree.ts";
import { OLDEST_INTERFACE, STAGE1_ANNOTATION } from "../stage1-contract/annotations.ts";
import { formatGcArguments } from "../stage1-contract/ending-arguments.ts";
import { releasePodName } from "./claim-pod-name.ts";
import type { Pod, PodReader } from "./find.ts";
import { unregisterPod } from "./metadata.ts";
import { movePod, openPodDir } from "./pod-dir.ts";
import { killPodProcesses } from "./processes.ts";
import { readPodFile } from "./read.ts";
import { unmountPod } from "./unmount.ts";

/** Runs an entrypoint of the pod's stage1 (src/stage0/call-stage1.ts); commands pass it, because pod knows nothing of stage0. */
export type CallStage1 = (podDir: string, entrypoint: "gc" | "stop", argv: readonly string[]) => Promise<number>;

export interface Remover extends PodReader {
  readonly callStage1: CallStage1;
  readonly localConfigDir: string;
  readonly debug: boolean;
  /** A line for stderr. */
  readonly tell: (text: string) => void;
}

/** How long a reader's short look at the lock may stand in the way, milliseconds. */
const LOCK_PATIENCE = 300;

/**
 * Moves a pod to exited-garbage or garbage, and gives it back from there; undefined when another process holds its lock or was faster. Holds a shared lock
 * meanwhile: that keeps out whoever would run it, and looks like "unlocked" to readers. A pod that lost its supervisor is ended first.
 */
export async function moveToGarbage(
  remover: Remover,
  pod: Pod,
  to: "exited-garbage" | "garbage",
): Promise<Pod | undefined> {
  if (!tryLock(remover.host, pod.fd, "shared")) return undefined;
  if (!(await endProcesses(remover, pod))) return undefined;
  try {
    const moved = movePod(remover.dataDir, remover.host, pod, to);
    const state = to === "garbage" ? "garbage" : "exited garbage";
    return { ...moved, place: to, state, supervisorLost: false };
  } catch (error) {
    if (error instanceof Error && isErrno(error.cause, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Removes a pod that is among the garbage, and everything that belongs to it: first its processes, then what stage1 set up (network, leases), mounts, cgroups,
 * files. True when nothing is left. What went wrong is told; a pod of which something is left stays for the next gc.
 */
export async function removeGarbage(remover: Remover, pod: Pod): Promise<boolean> {
  const { host, tell } = remover;
  try {
    await lockWithBackoff(host, pod.fd, "exclusive", { what: `pod ${quoted(pod.uuid)}`, timeout: LOCK_PATIENCE });
    if (!existsSync(pod.dir)) return true; // Another process removed it while we waited.
    if (!(await endProcesses(remover, pod))) return false;
    if (pod.place === "exited-garbage" && !(await stage1Gc(remover, pod))) return false;
    await unregisterPod(pod.dir, pod.uuid);
    const mounted = unmountPod(host, pod.dir);
    if (mounted.length > 0) {
      tell(
        `pod ${quoted(pod.uuid)} not removed: ${mounted.map((point) => quoted(point)).join(", ")} cannot be unmounted`,
      );
      return false;
    }
    if (!(await removeCgroups(remover, pod))) return false;
    releasePodName(remover, pod.uuid, readPodFile(host, pod, "name", 256)?.text.trim() ?? "");
    removeFiles(remover.dataDir, host, pod);
    return true;
  } catch (error) {
    tell(`unable to remove pod ${quoted(pod.uuid)}: ${errorLine(error)}`);
    return false;
  }
}

/** Ends what a lost supervisor left; false (and told) when something does not end. */
export async function endProcesses(remover: Remover, pod: Pod, timeout?: number): Promise<boolean> {
  const { host, processes, tell } = remover;
  const dir = `/proc/self/fd/${pod.fd}`;
  if (await killPodProcesses(host, processes, { dir, uuid: pod.uuid }, timeout)) return true;
  const left = processes.processesOf(dir, pod.uuid);
  tell(`pod ${quoted(pod.uuid)} still has processes that do not end: ${left.join(", ")}`);
  return false;
}

/** Stage1's part. When it fails, the rest goes on, unless the pod's network is really still there: its files are what a teardown needs. */
async function stage1Gc(remover: Remover, pod: Pod): Promise<boolean> {
  const { tell } = remover;
  const argv = formatGcArguments(
    { uuid: pod.uuid, debug: remover.debug, localConfig: remover.localConfigDir },
    interfaceVersion(remover.host, pod),
  );
  const status = await remover.callStage1(pod.dir, "gc", argv).catch((error: unknown) => errorLine(error));
  if (status === 0) return true;
  const how = typeof status === "number" ? `exit status ${status}` : status;
  tell(`problem performing stage1 GC on ${quoted(pod.uuid)}: ${how}`);
  if (!networkLeft(remover.host, pod)) return true;
  tell(`pod ${quoted(pod.uuid)} not removed: its network is still set up`);
  return false;
}

/** The network namespace is still mounted, or the copies of the configurations in use, which a teardown removes last, are there. */
function networkLeft(host: Host, pod: Pod): boolean {
  const netns = readPodFile(host, pod, "netns", 4096)?.text.trim() ?? "";
  const mounted =
    netns !== "" &&
    readMountInfo().some((entry) => [netns, netns.replace(/^\/var\/run\//, "/run/")].includes(entry.mountPoint));
  return mounted || existsSync(`/proc/self/fd/${pod.fd}/net`);
}

/** From the copy of the stage1's manifest that prepare made. */
function interfaceVersion(host: Host, pod: Pod): number {
  try {
    const { annotations } = objectOf(JSON.parse(readPodFile(host, pod, "stage1/manifest")?.text ?? "{}"));
    const found = listOf(annotations)
      .map(objectOf)
      .find(({ name }) => name === STAGE1_ANNOTATION.interfaceVersion);
    return Number.parseInt(String(found?.value), 10) || OLDEST_INTERFACE;
  } catch {
    return OLDEST_INTERFACE;
  }
}

async function removeCgroups(remover: Remover, pod: Pod): Promise<boolean> {
  const cgroup = remover.processes.cgroupOf(`/proc/self/fd/${pod.fd}`, pod.uuid);
  if (cgroup === undefined || (await removePodCgroup(cgroup, undefined, remover.processes.layout))) return true;
  remover.tell(`pod ${quoted(pod.uuid)} not removed: its cgroup ${quoted(cgroup.subcgroup)} cannot be removed`);
  return false;
}

/** The big trees first: should one fail, the pod's manifest and state files stay for `list` and the next gc. */
function removeFiles(dataDir: DataDir, host: Host, pod: Pod): void {
  for (const name of ["stage1", "overlay", "sharedVolumes"]) removeTree(host, pod.fd, name);
  const parent = openPodDir(host, dataDir.podsIn(pod.place));
  try {
    removeTree(host, parent, pod.uuid);
  } finally {
    host.close(parent);
  }
}
