/** The store's garbage: images not used for long, and what killed processes left behind. */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { withDependencies } from "./dependencies.ts";
import { tryFetchLock } from "./fetch-lock.ts";
import { openStore, type Store, type StoreOptions } from "./files.ts";
import { age, findLeftovers } from "./leftovers.ts";
import { loadAll } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { type Removal, removeImage, removeTolerantly } from "./remove-image.ts";

export interface CollectOptions extends StoreOptions {
  /** Milliseconds since an image was last used before it is removed. */
  readonly grace: number;
  /** Images of running pods: kept whatever their age. */
  readonly inUse: ReadonlySet<ImageId>;
  /** Called after each removal. */
  readonly onRemoved?: (image: StoredImage, removal: Removal) => void;
  /** Called when an image could not be removed; the collection goes on. */
  readonly onFailed?: (image: StoredImage, error: unknown) => void;
}

export interface Collected {
  readonly images: number;
  /** Leftover files removed. */
  readonly leftovers: number;
  /** Leftover files that could not be removed, with the reason. */
  readonly stale: readonly string[];
}

/** The images that {@link collectImages} would remove, oldest first: not used for long, and no kept image depends on them. */
export function expiredImages(
  dataDir: DataDir,
  options: Pick<CollectOptions, "grace" | "inUse"> & StoreOptions,
): StoredImage[] {
  const store = openStore(dataDir, options);
  const images = loadAll(store);
  const used = images.filter(({ id, lastUsed }) => age(lastUsed) <= options.grace || options.inUse.has(id));
  const kept = withDependencies(dataDir, used, store);
  return images.filter(({ id }) => !kept.has(id)).sort((a, b) => Number(a.lastUsed - b.lastUsed));
}

/** Removes images last used longer ago than `grace`, oldest first, then leftovers. Needs no free space. Takes the store's lock, exclusive, in short pieces. */
export function collectImages(dataDir: DataDir, options: CollectOptions): Collected {
  const store = openStore(dataDir, options);
  let images = 0;
  for (const image of expiredImages(dataDir, options)) {
    try {
      const removal = removeImage(dataDir, image, store);
      options.onRemoved?.(image, removal);
      images += 1;
    } catch (error) {
      options.onFailed?.(image, error);
    }
  }
  return { images, ...collectLeftovers(store, options.grace) };
}

function collectLeftovers(store: Store, grace: number): { leftovers: number; stale: string[] } {
  return withStoreLock(store, "exclusive", () => {
    // Decided and removed under one lock: a record that is put meanwhile would need what is removed here.
    const release = tryFetchLock(store);
    try {
      const found = findLeftovers(store.dataDir, { ...store, grace, fetching: release === undefined });
      const leftovers = found.filter(({ young }) => !young);
      const stale = leftovers.flatMap(({ path }) => removeTolerantly(store, path));
      return { leftovers: leftovers.length - stale.length, stale };
    } finally {
      release?.();
    }
  });
}
