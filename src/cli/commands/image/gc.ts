/** rkt image gc: removes images that nobody used for long, and everything that no image and no pod needs. */

import { closeSync, readdirSync } from "node:fs";
import type { DataDir } from "../../../core/data-dir.ts";
import { POD_STATE_DIRS } from "../../../core/data-dir.ts";
import { type ImageId, isImageId } from "../../../core/digest.ts";
import { RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { linux } from "../../../host/mod.ts";
import { appNames, eachPod, isFinished, podReader, takePrepareLock, treesInUse } from "../../../pod/mod.ts";
import { collectLayers } from "../../../render/collect.ts";
import { collectImages, initDataDir, listImages } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { failureText, imageRemovals } from "../../image-removals.ts";

export const command: Command = {
  name: "gc",
  summary: "Garbage collect local store",
  usage: "[--grace-period=duration]",
  description: `Removes unpacked images that no pod and no image needs, and images that were not used for the grace period. Images of running and prepared pods stay.`,
  flags: [
    {
      name: "grace-period",
      kind: "duration",
      default: "24h0m0s",
      usage: "duration to wait since an image was last used before removing it",
    },
  ],
  run: gcCommand,
};

async function gcCommand({ engine, flags, output }: CommandInput): Promise<number> {
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", "cannot collect unpacked images: permission denied", {
      hint: "image gc needs root; members of group rkt can remove single images with image rm",
    });
  }
  const { dataDir } = engine;
  initDataDir(dataDir, linux);
  // From before anything is counted: a pod that is being prepared has chosen its image, and nobody knows yet.
  const lock = await takePrepareLock(dataDir, linux, "exclusive");
  try {
    const removals = imageRemovals(output);
    const { stale } = collectImages(dataDir, {
      emit: engine.emit,
      grace: flags.duration("grace-period"),
      inUse: imagesInUse(dataDir, (text) => output.error(text)),
      onRemoved: removals.removed,
      onFailed: removals.failed,
    });
    for (const file of stale) output.error(`cannot remove ${file}`);
    const unknown = collectTrees(dataDir, (text) => output.error(text));
    return removals.end() || (stale.length > 0 || unknown ? 254 : 0);
  } finally {
    closeSync(lock);
  }
}

/** Images of pods that run, or will. */
function imagesInUse(dataDir: DataDir, tell: (text: string) => void): Set<ImageId> {
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

/** Returns true when something could not be decided. */
function collectTrees(dataDir: DataDir, tell: (text: string) => void): boolean {
  const imagesKnown = new Set(listImages(dataDir).map(({ id }) => id));
  const before = treeIds(dataDir);
  const { unknownTrees } = collectLayers(dataDir, linux, { treesInUse: treesInUse(dataDir, linux), imagesKnown });
  const after = new Set(treeIds(dataDir));
  for (const id of before) if (!after.has(id)) tell(`removed treestore ${quoted(id)}`);
  if (unknownTrees.length === 0) return false;
  tell(
    `failed to remove unreferenced treestores: pods refer to ${unknownTrees.map((id) => quoted(id)).join(", ")}, and there is no record of it`,
  );
  return true;
}

function treeIds(dataDir: DataDir): string[] {
  return readdirSync(dataDir.trees)
    .filter((name) => /^deps-sha512-[0-9a-f]{64}\.json$/.test(name))
    .map((name) => name.slice(0, -".json".length));
}
