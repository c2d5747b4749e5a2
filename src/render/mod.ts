/**
 * render: step 4.
 * Takes a StoredImage, gives a RenderedTree: an ordered list of lower directories and the image's manifest in the appc vocabulary. Archives are unpacked by a
 * confined process (worker.ts, jail.ts). Next step: src/pod prepares a pod from rendered trees.
 */

import type { RenderedTree } from "../core/spine.ts";
import type { RenderRequest } from "./render.ts";

export { type Collected, type CollectPlan, collectLayers, layerSize, type Needed, planLayers } from "./collect.ts";
export { type CopyOptions, copyTree } from "./copy-tree.ts";
export type { ResolveDependency } from "./dependencies.ts";
export { layerIds, MOST_LAYERS, type RenderableImage, treeIdOf } from "./layer-id.ts";
export type { RenderRequest } from "./render.ts";
export { renderedSize } from "./rendered-size.ts";
export { hasRkt1Tree, rkt1TreeRootfs } from "./rkt-1-trees.ts";
export { findRenderedTree, overlayOptions, treeLayers } from "./trees.ts";

/** See render.ts. Loaded on demand: an image that was rendered before needs none of it. */
export async function renderImage(request: RenderRequest): Promise<RenderedTree> {
  return (await import("./render.ts")).renderImage(request);
}
