/** The end of a pod of rkt 1.x: its own stage1 gives back what that has set up, as the contract has it; where it is gone, or fails, this rkt does from the pod's records. */

import { existsSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { errorLine } from "../core/errors.ts";
import { isErrno, linux, MS, UMOUNT_NOFOLLOW } from "../host/mod.ts";
import { loadEntrypoints } from "./builtin-stage1.ts";
import { callStage1 } from "./call-stage1.ts";
import { rkt1Rootfs } from "./rkt-1-pod.ts";

/** Runs `gc` and returns its status. The pod is among the garbage, and the caller holds its lock. `argv`: for the interface version of the pod's stage1. */
export async function endRkt1Pod(engine: Engine, podDir: string, argv: readonly string[]): Promise<number> {
  const status = await ownGc(engine, podDir, argv).catch((error: unknown) => errorLine(error));
  // It removes the record of the networks when it has given them back.
  if (status === 0 && !existsSync(new PodFiles(podDir).net)) return 0;
  const how = typeof status === "number" ? `exit status ${status}` : status;
  engine.emit({
    kind: "debug",
    source: "stage0",
    text: `gc of the pod's own stage1: ${how}; working from its records`,
  });
  const { gc } = await loadEntrypoints("nspawn");
  return gc === undefined ? 1 : gc(argv, { host: linux, emit: engine.emit, env: process.env, podDir });
}

/**
 * rkt 1.x's stage1 looks for the plugins of networks in the pod's own copy of itself. After a reboot nothing is there; and what is there, the pod's root could have changed, and it would run on the
 * host as root. So the tree itself is bound there for the while, read-only; in the caller's mount namespace, since others have to see what becomes of the network's.
 */
async function ownGc(engine: Engine, podDir: string, argv: readonly string[]): Promise<number> {
  const files = new PodFiles(podDir);
  const rootfs = rkt1Rootfs(engine.dataDir, files.stage1TreeId);
  const target = files.stage1Rootfs;
  if (!existsSync(target)) return callStage1(engine, podDir, "gc", argv);
  linux.mount(rootfs, target, null, MS.BIND, null);
  try {
    // Private: what the pod left below is not to come along.
    linux.mount(null, target, null, MS.PRIVATE, null);
    linux.mount(null, target, null, MS.REMOUNT | MS.BIND | MS.RDONLY | MS.NODEV | MS.NOSUID, null);
    return await callStage1(engine, podDir, "gc", argv);
  } finally {
    unmount(target);
  }
}

/** Busy: whoever removes the pod unmounts everything below it anyway, and detaches what stays. */
function unmount(target: string): void {
  try {
    linux.umount(target, UMOUNT_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, "EBUSY", "EINVAL")) throw error;
  }
}
