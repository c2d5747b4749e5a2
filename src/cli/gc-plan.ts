/** What `image gc` removes, decided and not done: for --dry-run, for the account of the disk, and for gc itself. */

import { closeSync, lstatSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { POD_STATE_DIRS } from "../core/data-dir.ts";
import { type ImageId, isImageId } from "../core/digest.ts";
import type { Emit } from "../core/events.ts";
import type { StoredImage } from "../core/spine.ts";
import { tryLock } from "../host/lock.ts";
import { isErrno, linux, O } from "../host/mod.ts";
import { appNames, eachPod, isFinished, podReader, treesInUse } from "../pod/mod.ts";
import { type CollectPlan, planLayers } from "../render/mod.ts";
import { expiredImages, filesOfImage, findLeftovers, type Leftover, listImages } from "../store/mod.ts";
import { failureText } from "./image-removals.ts";

export interface GcPlan {
  readonly images: readonly StoredImage[];
  /** Files of those images that no other image has. */
  readonly imageFiles: readonly string[];
  readonly leftovers: readonly Leftover[];
  readonly layers: CollectPlan;
  /** Directories in DATADIR/tmp that no process works in. */
  readonly temporaries: readonly string[];
}

/** Root only; holds nothing and changes nothing. Throws what reading the store and the pods throws. */
export function planGc(dataDir: DataDir, grace: number, emit: Emit, tell: (text: string) => void): GcPlan {
  const images = expiredImages(dataDir, { grace, inUse: imagesInUse(dataDir, tell), emit });
  const going = new Set<ImageId>(images.map(({ id }) => id));
  const staying = listImages(dataDir).filter(({ id }) => !going.has(id));
  const needed = new Set(staying.flatMap(({ id }) => filesOfImage(dataDir, id)));
  const files = new Set(images.flatMap(({ id }) => filesOfImage(dataDir, id)));
  return {
    images,
    imageFiles: [...files].filter((path) => !needed.has(path) && lstatSync(path, { throwIfNoEntry: false })),
    leftovers: findLeftovers(dataDir, { emit, grace }),
    layers: planLayers(dataDir, {
      treesInUse: treesInUse(dataDir, linux),
      imagesKnown: new Set(staying.map(({ id }) => id)),
    }),
    temporaries: staleTemporaries(dataDir),
  };
}

/** Images of pods that run, or will. */
export function imagesInUse(dataDir: DataDir, tell: (text: string) => void): Set<ImageId> {
  const images = new Set<ImageId>();
  for (const pod of eachPod(podReader(dataDir, linux), POD_STATE_DIRS, tell)) {
    if (isFinished(pod.state)) continue;
    try {
      for (const { imageId } of appNames(linux, pod)) if (isImageId(imageId)) images.add(imageId);
    } catch (error) {
      // Not written yet, or damaged: what the pod runs on are its trees, and these are kept by their own record.
      tell(`cannot tell the images of pod ${pod.uuid}: ${failureText(error)}`);
    }
  }
  return images;
}

/** What `image export` left in DATADIR/tmp when it was killed: whoever works there holds the lock of the directory. */
export function staleTemporaries(dataDir: DataDir): string[] {
  return names(dataDir.tmp)
    .filter((name) => name.startsWith("rkt-image-"))
    .map((name) => join(dataDir.tmp, name))
    .filter(isUnlocked);
}

function isUnlocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch {
    return false;
  }
  try {
    return tryLock(linux, fd, "exclusive");
  } finally {
    closeSync(fd);
  }
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
