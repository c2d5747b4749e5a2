/** The store's garbage: images not used for long, and what killed processes left behind. */

import type { DataDir } from "../core/data-dir.ts";
import { type DigestAlgorithm, formatDigest, type ImageId, isImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { openFileBeneath, TEMPORARY_PREFIX } from "../host/beneath.ts";
import { tryLock } from "../host/lock.ts";
import { imageIds, inCas, modifiedAt, namesIn, openStore, readRecord, type Store, type StoreOptions } from "./files.ts";
import { loadAll } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { blobsOf, decodeRef } from "./record.ts";
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

/** A blob without a record may belong to a fetch that is still running; one this old does not. */
const ORPHAN_GRACE = 60 * 60 * 1000;
/** Unfinished downloads are kept this long, so that the next fetch can continue them. */
const DOWNLOAD_GRACE = 24 * 60 * 60 * 1000;

/** Removes images last used longer ago than `grace`, oldest first, then leftovers. Needs no free space. Takes the store's lock, exclusive, in short pieces. */
export function collectImages(dataDir: DataDir, options: CollectOptions): Collected {
  const store = openStore(dataDir, options);
  const oldest = [...loadAll(store)].sort((a, b) => Number(a.lastUsed - b.lastUsed));
  let images = 0;
  for (const image of oldest) {
    if (age(image.lastUsed) <= options.grace || options.inUse.has(image.id)) continue;
    try {
      const removal = removeImage(dataDir, image, store);
      options.onRemoved?.(image, removal);
      images += 1;
    } catch (error) {
      options.onFailed?.(image, error);
    }
  }
  return { images, ...collectLeftovers(store) };
}

function collectLeftovers(store: Store): { leftovers: number; stale: string[] } {
  return withStoreLock(store, "exclusive", () => {
    // Decided and removed under one lock: a record that is put meanwhile would need what is removed here.
    const leftovers = [...orphanBlobs(store), ...orphanFiles(store), ...staleDownloads(store)];
    const stale = leftovers.flatMap((path) => removeTolerantly(store, path));
    return { leftovers: leftovers.length - stale.length, stale };
  });
}

/** Blobs that no image has. Names that are no blobs are left: they are not ours. */
function orphanBlobs(store: Store): string[] {
  const needed = new Set(
    loadAll(store)
      .flatMap(blobsOf)
      .map(({ digest }) => formatDigest(digest)),
  );
  const orphans: string[] = [];
  for (const algorithm of ["sha256", "sha512"] satisfies DigestAlgorithm[]) {
    const directory = `${store.dataDir.blobs}/${algorithm}`;
    for (const start of namesIn(store, directory).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
      for (const name of namesIn(store, `${directory}/${start}`)) {
        const path = `${directory}/${start}/${name}`;
        const hex = name.slice(algorithm.length + 1);
        // Of full length: the store of rkt 1.x, with half as many digits, is left alone.
        const isBlob = name === `${algorithm}-${hex}` && isFullHex(algorithm, hex) && hex.startsWith(start);
        const unneeded = isBlob ? !needed.has(`${algorithm}:${hex}`) : name.startsWith(TEMPORARY_PREFIX);
        if (unneeded && isOlder(path, ORPHAN_GRACE)) orphans.push(path);
      }
    }
  }
  return orphans;
}

function isFullHex(algorithm: DigestAlgorithm, hex: string): boolean {
  return hex.length === (algorithm === "sha256" ? 64 : 128) && /^[0-9a-f]+$/.test(hex);
}

/** Names, verdicts, manifests and signatures of images that are not there, and records that were never finished. */
function orphanFiles(store: Store): string[] {
  const { dataDir } = store;
  const there: ReadonlySet<string> = new Set(imageIds(store));
  const isOrphan: [directory: string, test: (path: string, name: string) => boolean][] = [
    [dataDir.imageRecords, (_, name) => /\.(manifest|asc)$/.test(name) && !there.has(name.replace(/\.[a-z]+$/, ""))],
    [dataDir.refs, (path) => isDangling(store, path, there)],
  ];
  if (store.believes) {
    isOrphan.push(
      [dataDir.verified, (_, name) => name.endsWith(".json") && isGone(name.slice(0, -".json".length), there)],
      [dataDir.verifiedRefs, (path) => isDangling(store, path, there)],
    );
  }
  return isOrphan.flatMap(([directory, test]) =>
    namesIn(store, directory)
      .filter((name) => name.startsWith(TEMPORARY_PREFIX) || test(`${directory}/${name}`, name))
      .map((name) => `${directory}/${name}`)
      .filter((path) => isOlder(path, ORPHAN_GRACE)),
  );
}

function isGone(id: string, there: ReadonlySet<string>): boolean {
  return isImageId(id) && !there.has(id);
}

function isDangling(store: Store, path: string, there: ReadonlySet<string>): boolean {
  const target = readRecord(store, path, decodeRef);
  return target !== undefined && !there.has(target);
}

/** Unfinished downloads that no process works on (its lock is free) and that are too old to be continued. */
function staleDownloads(store: Store): string[] {
  return namesIn(store, store.dataDir.downloads)
    .map((name) => `${store.dataDir.downloads}/${name}`)
    .filter((path) => isOlder(path, DOWNLOAD_GRACE) && isUnlocked(store, path));
}

function isUnlocked(store: Store, path: string): boolean {
  const file = openFileBeneath(store.host, store.dataDir.cas, inCas(store, path));
  if (file === undefined) return false;
  try {
    return tryLock(store.host, file.fd, "exclusive");
  } finally {
    store.host.close(file.fd);
  }
}

/** False also for what is not a regular file: links and directories are never removed here. */
function isOlder(path: string, grace: number): boolean {
  const modified = modifiedAt(path);
  return modified !== undefined && age(modified) > grace;
}

/** Milliseconds since `then` (nanoseconds since the epoch). */
function age(then: bigint): number {
  return Date.now() - Number(then / 1_000_000n);
}
