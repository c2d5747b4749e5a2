/**
 * A data directory of rkt 1.x becomes one of this rkt: its layout first (initDataDir), then a record for each image whose archive is there, last `format`, which says that this is done. Killed at
 * any point, it is begun again by the next command, and what was done is not done again. Pods are left as they are: a pod of rkt 1.x is known by its own files (rkt-1-pod.ts).
 */

import { closeSync, openSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { linux, O } from "../host/mod.ts";
import { writeFormat } from "../store/data-dir-format.ts";
import { initDataDir } from "../store/init-data-dir.ts";
import { isUntaken, untakenImages } from "../store/mod.ts";
import { openRkt1Blob, takeOverImage } from "../store/rkt-1.ts";
import { examineArchive } from "./refetch-image.ts";

/**
 * Takes the directory over, and waits for another process that does. An image that is damaged is told and left: `rkt fsck` names it again. Throws PERMISSION when the directory is not the
 * caller's, SYSTEM_CALL (a full disk): then the next command goes on.
 */
export async function takeOver(engine: Engine): Promise<void> {
  const { dataDir, emit } = engine;
  const say = (text: string): void => emit({ kind: "notice", source: "store", text });
  initDataDir(dataDir, linux);
  const lock = await takeOverLock(dataDir, () => say("another rkt takes over this directory of rkt 1.x, waiting..."));
  try {
    if (!isUntaken(dataDir, linux)) return;
    const images = untakenImages(dataDir);
    if (images.length > 0) say(`taking over ${images.length} image(s) of rkt 1.x`);
    for (const id of images) {
      try {
        await takeOverOne(engine, id);
      } catch (error) {
        if (!isOneImagesFault(error)) throw error;
        emit({ kind: "warning", text: `left image ${id} of rkt 1.x where it is: ${error.message}` });
      }
    }
    writeFormat(dataDir, linux);
  } finally {
    closeSync(lock);
  }
}

/** Throws what {@link takeOverImage} and the fetch worker throw. */
export async function takeOverOne(engine: Engine, id: ImageId): Promise<void> {
  const archive = openRkt1Blob(engine.dataDir, id);
  try {
    takeOverImage(engine.dataDir, id, archive, await examineArchive(engine, archive), engine);
  } finally {
    closeSync(archive);
  }
}

/** What is wrong with the disk or the worker is wrong for every image. */
export function isOneImagesFault(error: unknown): error is RktError {
  const faults = ["DIGEST_MISMATCH", "INVALID_INPUT", "MALICIOUS", "UNSUPPORTED", "NOT_FOUND", "CONFLICT"];
  return error instanceof RktError && faults.includes(error.code);
}

async function takeOverLock(dataDir: DataDir, onWait: () => void): Promise<number> {
  const fd = openSync(dataDir.takeOverLock, O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC, 0o600);
  try {
    await lockWithBackoff(linux, fd, "exclusive", { what: "the directory of rkt 1.x", onWait });
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
