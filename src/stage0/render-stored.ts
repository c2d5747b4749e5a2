/** Step 4 as stage0 uses it: the tree of an image in the store, rendered now or earlier. */

import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { Labels, RenderedTree, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { findRenderedTree } from "../render/mod.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import type { ImageManifest } from "../spec/appc/types.ts";
import type { PullPolicy } from "./obtain-image.ts";
import { clearingWrongBlobs } from "./whole-image.ts";

/**
 * Root only. An image with dependencies is put together anew each time: one of them may have another version by now. `dependencies`: where missing ones may come from.
 * Throws NOT_TRUSTED, and what the unpacker throws: MALICIOUS, DIGEST_MISMATCH, INVALID_INPUT, SYSTEM_CALL.
 */
export async function renderStored(
  engine: Engine,
  image: StoredImage,
  dependencies: PullPolicy = "never",
): Promise<RenderedTree> {
  // Every image that root runs comes through here: one that root has not seen verified must have been verified before (obtainImage).
  if (image.verification === undefined) {
    throw new RktError("NOT_TRUSTED", `Cannot render image ${image.id}: it has not been verified`, {
      hint: "fetch it again; if that changes nothing, rkt fsck tells whether root's own records can be believed",
    });
  }
  const known = findRenderedTree(engine.dataDir, image.id);
  if (image.format !== "aci") return known ?? (await renderNow(engine, image, dependencies));
  if (known !== undefined) {
    const manifest = parseImageManifest(known.manifest);
    refuseOtherName(image, manifest);
    if (manifest.dependencies.length === 0) return known;
  }
  const tree = await renderNow(engine, image, dependencies);
  refuseOtherName(image, parseImageManifest(tree.manifest));
  return tree;
}

/** Loaded only here: a start from a rendered image must not pay for it. */
async function renderNow(engine: Engine, image: StoredImage, dependencies: PullPolicy): Promise<RenderedTree> {
  const [{ renderImage }, { imageManifestText }, { obtainDependencies, obtainDependency }] = await Promise.all([
    import("../render/mod.ts"),
    import("../store/mod.ts"),
    import("./obtain-dependencies.ts"),
  ]);
  // Before the render, which holds a lock that no download should hold.
  if (image.format === "aci") await obtainDependencies(engine, image, dependencies);
  return clearingWrongBlobs(engine, image, () =>
    renderImage({
      dataDir: engine.dataDir,
      host: linux,
      emit: engine.emit,
      image,
      ...(image.format === "oci" ? { ociManifestText: imageManifestText(engine.dataDir, image) } : {}),
      resolveDependency: (wanted) => obtainDependency(engine, wanted, dependencies),
    }),
  );
}

/**
 * The name and labels by which an ACI was found and its signer trusted are what the fetch worker read in the archive. The unpacker read them again: a fetch worker gone
 * bad must not pass one image of a signer off as another (an old version as the new one, say).
 */
function refuseOtherName(image: StoredImage, { name, labels }: ImageManifest): void {
  const text = (list: Labels) => JSON.stringify(list.map((label) => [label.name, label.value]));
  if (name === image.name && text(labels) === text(image.labels)) return;
  throw new RktError(
    "MALICIOUS",
    `Cannot use image ${image.id}: its archive is ${quoted(name)} with other labels than recorded for ${quoted(image.name)}`,
  );
}
