/** Removing images. Needs no free space; killed in between, it leaves files that mean nothing any more, and that {@link collectImages} removes. */

import type { DataDir } from "../core/data-dir.ts";
import { formatDigest, type ImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { removeFileBeneath } from "../host/beneath.ts";
import { inCas, openStore, readRecord, type Store, type StoreOptions } from "./files.ts";
import { rkt1Files } from "./image-files.ts";
import { loadAll, loadImage } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { blobsOf, decodeRef } from "./record.ts";

export interface Removal {
  /** Files that could not be removed, with the reason. The image is gone all the same. */
  readonly stale: readonly string[];
}

/**
 * Removes an image: first the record by which it is there, then its names and verdict, last the blobs that no other image has. Trees rendered from it stay.
 * Under the store's lock, exclusive. Throws SYSTEM_CALL when the record itself cannot be removed (the image is still there then).
 */
export function removeImage(dataDir: DataDir, image: StoredImage, options: StoreOptions = {}): Removal {
  const store = openStore(dataDir, options);
  return withStoreLock(store, "exclusive", () => {
    const refs = loadImage(store, image.id)?.refs ?? [];
    removeFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.imageRecord(image.id)));
    const needed = new Set(
      loadAll(store)
        .flatMap(blobsOf)
        .map(({ digest }) => formatDigest(digest)),
    );
    const blobs = blobsOf(image).filter(({ digest }) => !needed.has(formatDigest(digest)));
    const files = [
      ...refs.flatMap((key) => refsTo(store, image.id, key)),
      ...sideFiles(store, image.id),
      ...rkt1Files(dataDir, image.id),
      ...blobs.map(({ digest }) => dataDir.blob(digest)),
    ];
    return { stale: files.flatMap((path) => removeTolerantly(store, path)) };
  });
}

/** What belongs to one image besides its record and blobs. */
export function sideFiles({ dataDir, believes }: Store, id: ImageId): string[] {
  const shared = [dataDir.imageManifest(id), dataDir.imageSignature(id), dataDir.imageSignatures(id)];
  return believes ? [...shared, dataDir.verifiedRecord(id)] : shared;
}

/** Removes one file; the reason when that fails. */
export function removeTolerantly(store: Store, path: string): string[] {
  try {
    removeFileBeneath(store.host, store.dataDir.cas, inCas(store, path));
    return [];
  } catch (error) {
    return [`${path}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** The files of one name that still name this image: meanwhile it may stand for another one. */
function refsTo(store: Store, id: ImageId, key: string): string[] {
  const { dataDir, believes } = store;
  const files = believes ? [dataDir.ref(key), dataDir.verifiedRef(key)] : [dataDir.ref(key)];
  return files.filter((path) => readRecord(store, path, decodeRef) === id);
}
