/** Reading images: which record counts for this caller. */

import type { ImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { imageIds, modifiedAt, readRecord, type Store } from "./files.ts";
import { blobsOf, decodeRecord, type ImageRecord } from "./record.ts";

/** An image with its record. */
export interface LoadedImage extends StoredImage {
  readonly refs: readonly string[];
  readonly latest: boolean;
  readonly uncompressedSize: number | undefined;
}

/**
 * The image `id`; undefined when the store has none. An image is there while `cas/images/ID.json` is: whoever may fetch may also remove. What the image *is* comes
 * from the caller's own verified record where there is one, and only without it from what an unprivileged fetch wrote.
 */
export function loadImage(store: Store, id: ImageId): LoadedImage | undefined {
  const path = store.dataDir.imageRecord(id);
  const lastUsed = modifiedAt(path);
  if (lastUsed === undefined) return undefined;
  const record = loadVerified(store, id) ?? readRecord(store, path, unverified(id));
  return record === undefined ? undefined : withFacts(record, lastUsed);
}

export function loadAll(store: Store): LoadedImage[] {
  return imageIds(store)
    .map((id) => loadImage(store, id))
    .filter((image) => image !== undefined);
}

export function loadVerified(store: Store, id: ImageId): ImageRecord | undefined {
  if (!store.believes) return undefined;
  const record = readRecord(store, store.dataDir.verifiedRecord(id), (json, document) =>
    decodeRecord(json, document, id),
  );
  // A record of ours without a verdict is half of one.
  return record?.verification === undefined ? undefined : record;
}

/** A verdict in a record that others can write is worth nothing. */
function unverified(id: ImageId): (json: string, document: string) => ImageRecord {
  return (json, document) => ({ ...decodeRecord(json, document, id), verification: undefined });
}

export function withFacts(record: ImageRecord, lastUsed: bigint): LoadedImage {
  const size = blobsOf(record).reduce((sum, blob) => sum + blob.size, 0);
  return { ...record, lastUsed, size };
}
