/** `image verify`: the signature again, every blob, and the unpacked files. */

import { closeSync } from "node:fs";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { RenderedTree, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { takePrepareLock, treesInUse } from "../pod/mod.ts";
import { layerDamage } from "../render/check-layer.ts";
import { discardLayer } from "../render/layer-store.ts";
import { findRenderedTree, treeLayers } from "../render/mod.ts";
import { renderStored } from "../stage0/render-stored.ts";
import { checkBlob, storedDownload } from "../store/mod.ts";
import { blobsOf } from "../store/record.ts";
import { verifyDownload } from "../trust/mod.ts";

/** Throws NOT_FOUND, DIGEST_MISMATCH and NOT_TRUSTED; `tell` gets what is no failure. `word`: the image as the user named it. */
export async function verifyImage(
  engine: Engine,
  image: StoredImage,
  word: string,
  tell: (text: string) => void,
): Promise<void> {
  for (const blob of blobsOf(image)) checkBlob(engine.dataDir, blob);
  await verifySignature(engine, image, word, tell);
  // Unpacked images are root's alone.
  if (process.geteuid?.() === 0) await verifyTree(engine, image, word, tell);
}

/** With the keys that are trusted now: a key that was removed, or revoked, since the fetch does not count any more. */
async function verifySignature(
  engine: Engine,
  image: StoredImage,
  word: string,
  tell: (text: string) => void,
): Promise<void> {
  const kind = image.verification?.kind;
  if (kind === "builtin") return;
  if (kind === "insecure" || kind === "policy") {
    tell(`image ${quoted(word)} was accepted without a signature; none was checked`);
    return;
  }
  const insecure = { ...engine.insecure, image: false };
  try {
    await verifyDownload(storedDownload(engine.dataDir, image), undefined, { ...engine, insecure, host: linux });
  } catch (error) {
    // What root has not seen verified is not run either: prepare and run check it again, and refuse it.
    if (kind !== undefined || !(error instanceof RktError) || error.code !== "NOT_TRUSTED") throw error;
    tell(`image ${quoted(word)} is not verified: ${error.message}`);
  }
}

async function verifyTree(
  engine: Engine,
  image: StoredImage,
  word: string,
  tell: (text: string) => void,
): Promise<void> {
  const { dataDir } = engine;
  const tree = findRenderedTree(dataDir, image.id);
  if (tree === undefined) {
    tell(`image ${quoted(word)} not rendered; no verification needed`);
    return;
  }
  // Exclusive from the look to the removal: no pod may choose a tree that is about to go.
  const lock = await takePrepareLock(dataDir, linux, "exclusive");
  try {
    const damage = new Map<string, string>();
    for (const { layerId } of tree.layers) {
      const found = layerDamage(linux, dataDir, layerId);
      if (found !== undefined) damage.set(layerId, `layer ${layerId}: ${found}`);
    }
    if (damage.size === 0) return;
    const reason = [...damage.values()].join("; ");
    refuseInUse(engine, tree, damage, reason);
    tell(`tree cache verification failed for image ${word}: ${reason};  rebuilding...`);
    for (const layerId of damage.keys()) discardLayer(linux, dataDir, layerId);
  } finally {
    closeSync(lock);
  }
  await renderStored(engine, image);
}

/** A layer that a pod stands on cannot be replaced under it. */
function refuseInUse(
  { dataDir }: Engine,
  tree: RenderedTree,
  damage: ReadonlyMap<string, string>,
  reason: string,
): void {
  const used = [...treesInUse(dataDir, linux)].filter(
    (id) => id === tree.treeId || treeLayers(dataDir, id)?.some(({ layerId }) => damage.has(layerId)) === true,
  );
  if (used.length === 0) return;
  throw new RktError("CONFLICT", `tree cache verification failed: ${reason}`, {
    hint: "pods stand on this tree: remove them (rkt rm, rkt gc), then verify again and it is rebuilt",
  });
}
