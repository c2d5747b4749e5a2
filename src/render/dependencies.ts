/**
 * Dependencies of App Container images (appc spec/aci.md, "Dependency Matching"; the order and the filters are those of rkt 1.x's acirenderer). A tree is flattened
 * depth first, the last dependency of an image first; what stands earlier wins. A path whitelist filters its own image and everything below it.
 */

import type { ImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import type { Dependency, ImageManifest } from "../spec/appc/types.ts";
import { MOST_LAYERS, type RenderableImage } from "./layer-id.ts";
import type { PathFilter } from "./unpack/naming.ts";

/** Finds a dependency in the store, fetched and verified on its own. */
export type ResolveDependency = (wanted: Dependency, dependent: ImageId) => Promise<RenderableImage>;

/** One image of a flattened tree. */
export interface FlatImage {
  readonly image: RenderableImage;
  readonly filter: PathFilter | undefined;
}

interface Node {
  readonly image: RenderableImage;
  readonly manifest: ImageManifest;
  /** From the top down to the image that depends on this one. */
  readonly above: readonly Node[];
}

/**
 * The images of a tree, topmost first. `manifestOf` gives an image's manifest text, as it was found in its verified archive. Throws INVALID_INPUT for a
 * circle or a malformed manifest, UNSUPPORTED for too many images, or when there are dependencies and nobody to resolve them.
 */
export async function flattenDependencies(
  top: RenderableImage,
  manifestOf: (image: RenderableImage) => Promise<string>,
  resolve: ResolveDependency | undefined,
): Promise<FlatImage[]> {
  const read = async (image: RenderableImage, above: readonly Node[]): Promise<Node> => ({
    image,
    above,
    manifest: parseImageManifest(await manifestOf(image)),
  });
  const flat: Node[] = [await read(top, [])];
  for (let index = 0; index < flat.length; index += 1) {
    const node = flat[index];
    if (node === undefined) break;
    for (const wanted of node.manifest.dependencies) {
      if (resolve === undefined) {
        throw new RktError("UNSUPPORTED", `Cannot render image ${node.image.id}: it depends on ${wanted.imageName}`);
      }
      const above = [...node.above, node];
      const image = await resolve(wanted, node.image.id);
      if (above.some((one) => one.image.id === image.id)) {
        throw new RktError("INVALID_INPUT", `Cannot render image ${top.id}: image ${image.id} depends on itself`);
      }
      flat.splice(index + 1, 0, await read(image, above));
      if (flat.length > MOST_LAYERS) {
        throw new RktError(
          "UNSUPPORTED",
          `Cannot render image ${top.id}: it has more than ${MOST_LAYERS} dependencies, expected at most ${MOST_LAYERS}`,
        );
      }
    }
  }
  return flat.map((node) => ({ image: node.image, filter: filterOf(node) }));
}

/** The image's own whitelist, and that of the topmost image above it that has one. */
function filterOf(node: Node): PathFilter | undefined {
  const own = node.manifest.pathWhitelist;
  const upper = node.above.find(({ manifest }) => manifest.pathWhitelist.length > 0)?.manifest.pathWhitelist ?? [];
  if (own.length === 0 && upper.length === 0) return undefined;
  return { own: own.length === 0 ? undefined : own, upper: upper.length === 0 ? undefined : upper };
}

/** The layer's id: the image's, or, for a part of it, of image and filter. */
export function filteredLayerId({ image, filter }: FlatImage): string {
  if (filter === undefined) return image.id;
  const text = JSON.stringify([image.id, filter.own ?? null, filter.upper ?? null]);
  return `sha512-${new Bun.CryptoHasher("sha512").update(text).digest("hex").slice(0, 64)}`;
}
