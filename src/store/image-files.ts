/** Which files of the store belong to an image. */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import { openStore, type StoreOptions } from "./files.ts";
import { loadImage } from "./load.ts";
import { blobsOf } from "./record.ts";

/** Paths of the image's blobs (which it may share with others), records, names, manifest and signatures; some may not exist. None for an image that is not there. */
export function filesOfImage(dataDir: DataDir, id: ImageId, options: StoreOptions = {}): string[] {
  const image = loadImage(openStore(dataDir, options), id);
  if (image === undefined) return [];
  return [
    dataDir.imageRecord(id),
    dataDir.imageManifest(id),
    dataDir.imageSignature(id),
    dataDir.imageSignatures(id),
    dataDir.verifiedRecord(id),
    ...image.refs.flatMap((key) => [dataDir.ref(key), dataDir.verifiedRef(key)]),
    ...rkt1Files(dataDir, id),
    ...blobsOf(image).map(({ digest }) => dataDir.blob(digest)),
  ];
}

/** What rkt 1.x had of an App Container image; mostly not there. */
export function rkt1Files(dataDir: DataDir, id: ImageId): string[] {
  return [dataDir.rkt1Blob(id), dataDir.rkt1Manifest(id)];
}
