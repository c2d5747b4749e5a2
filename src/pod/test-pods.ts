/** Pods in temporary directories, for the unit tests of this folder. */

import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataDir, type PodStateDir } from "../core/data-dir.ts";
import type { PreparedPod } from "../core/spine.ts";
import { linux } from "../host/linux.ts";
import { findPod, type Pod, type PodReader, podReader } from "./find.ts";
import { createPod, movePod } from "./pod-dir.ts";
import type { CallStage1, Remover } from "./remove.ts";

const roots: string[] = [];
const fds: number[] = [];

/** Removes and closes everything that was made since the last call: `afterEach(cleanUp)`. */
export function cleanUp(): void {
  for (const fd of fds.splice(0)) closeSync(fd);
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
}

/** An empty data directory, removed after the test. */
export function dataDir(): DataDir {
  const root = mkdtempSync(join(tmpdir(), "rkt-pod-"));
  roots.push(root);
  return new DataDir(root);
}

/** Closes a descriptor after the test. */
export function closeLater(fd: number): void {
  fds.push(fd);
}

/** A pod in `place`, locked by this process. */
export function lockedPod(data: DataDir, place: PodStateDir = "run"): PreparedPod {
  const pod = movePod(data, linux, createPod(data, linux), place);
  closeLater(pod.lockFd);
  return pod;
}

/** A pod in `place` that nobody holds. */
export function freePod(data: DataDir, place: PodStateDir = "run"): PreparedPod {
  const made = movePod(data, linux, createPod(data, linux), place);
  closeSync(made.lockFd);
  return made;
}

export function lookedAt(reader: PodReader, uuid: string): Pod {
  const found = findPod(reader, uuid);
  closeLater(found.fd);
  return found;
}

export function remover(data: DataDir, callStage1: CallStage1 = async () => 0): Remover & { told: string[] } {
  const told: string[] = [];
  const tell = (text: string) => void told.push(text);
  return { ...podReader(data, linux), callStage1, localConfigDir: "/etc/rkt", debug: false, tell, told };
}
