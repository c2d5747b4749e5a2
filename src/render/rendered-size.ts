/** How much an image takes unpacked, as lists of images show it. */

import type { DataDir } from "../core/data-dir.ts";
import { layerSize } from "./collect.ts";
import { layerIds, type RenderableImage } from "./layer-id.ts";

/** Bytes of content; 0 for who is not root, who sees no unpacked image. Layers that images share count for each. */
export function renderedSize(dataDir: DataDir, image: RenderableImage): number {
  try {
    return layerIds(image).reduce((sum, layerId) => sum + layerSize(dataDir, layerId), 0);
  } catch {
    // An image that cannot be rendered is listed all the same.
    return 0;
  }
}
