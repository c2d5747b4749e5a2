/** Which images of the store others depend on: what is kept with them, and named when it is removed. */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import { withHostLabels } from "../spec/appc/os-arch.ts";
import type { StoreOptions } from "./files.ts";
import { findImageByName } from "./find-image.ts";
import { imageManifestText } from "./image-manifest-text.ts";

/**
 * The images of the store that `image` would be put together from, without those below them. Rather one too many: of several with a dependency's name, whichever a
 * caller of one kind or another would take. None for an image whose manifest cannot be read.
 */
export function directDependencies(dataDir: DataDir, image: StoredImage, options: StoreOptions = {}): StoredImage[] {
  if (image.format !== "aci") return [];
  let wanted: ReturnType<typeof parseImageManifest>["dependencies"];
  try {
    wanted = parseImageManifest(imageManifestText(dataDir, image, options)).dependencies;
  } catch {
    return [];
  }
  return wanted.flatMap(({ imageName: name, labels }) =>
    [labels, withHostLabels(labels)].flatMap((list) =>
      [true, false].flatMap((claimedNames) => {
        const found = findImageByName(dataDir, { name, labels: list }, { ...options, claimedNames });
        return found === undefined ? [] : [found];
      }),
    ),
  );
}

/** The ids of `images` and of everything that these depend on, directly or not. */
export function withDependencies(
  dataDir: DataDir,
  images: readonly StoredImage[],
  options: StoreOptions = {},
): Set<ImageId> {
  const needed = new Set<ImageId>();
  const open = [...images];
  for (let image = open.pop(); image !== undefined; image = open.pop()) {
    if (needed.has(image.id)) continue;
    needed.add(image.id);
    open.push(...directDependencies(dataDir, image, options));
  }
  return needed;
}
