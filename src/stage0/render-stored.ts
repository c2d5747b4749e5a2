/** Step 4 as stage0 uses it: the tree of an image in the store, rendered now or earlier. */

import type { Engine } from "../core/engine.ts";
import type { RenderedTree, StoredImage } from "../core/spine.ts";
import { linux } from "../host/mod.ts";
import { findRenderedTree } from "../render/mod.ts";

/** Root only. Throws what the unpacker throws: MALICIOUS, DIGEST_MISMATCH, INVALID_INPUT, SYSTEM_CALL. */
export async function renderStored(engine: Engine, image: StoredImage): Promise<RenderedTree> {
  const rendered = findRenderedTree(engine.dataDir, image.id);
  if (rendered !== undefined) return rendered;
  const [{ renderImage }, { imageManifestText }] = await Promise.all([
    import("../render/mod.ts"),
    import("../store/mod.ts"),
  ]);
  return renderImage({
    dataDir: engine.dataDir,
    host: linux,
    emit: engine.emit,
    image,
    ...(image.format === "oci" ? { ociManifestText: imageManifestText(engine.dataDir, image) } : {}),
  });
}
