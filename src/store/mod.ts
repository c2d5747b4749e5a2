/**
 * store: images on the disk (step 3).
 * Takes a VerifiedImage, gives a StoredImage, and finds it again by id, name or reference. Next: src/render makes directories of it.
 */

export { checkBlob, missingBlobs, openBlob, readBlob } from "./blobs.ts";
export { layoutProblems } from "./check-layout.ts";
export { type Collected, type CollectOptions, collectImages, expiredImages } from "./collect-images.ts";
export { isUntaken } from "./data-dir-format.ts";
export { directDependencies, withDependencies } from "./dependencies.ts";
export { whileFetching } from "./fetch-lock.ts";
export type { StoreOptions } from "./files.ts";
export {
  type FindOptions,
  findImage,
  findImageById,
  findImageByName,
  noSuchImage,
  referenceName,
} from "./find-image.ts";
export { filesOfImage } from "./image-files.ts";
export { imageManifestText } from "./image-manifest-text.ts";
export { initDataDir, mayTakeOver } from "./init-data-dir.ts";
export { findLeftovers, type Leftover } from "./leftovers.ts";
export { listImages, touchImage } from "./list-images.ts";
export { type PutOptions, putImage } from "./put-image.ts";
export { type Removal, removeImage } from "./remove-image.ts";
export { untakenImages } from "./rkt-1.ts";
export { storedDownload } from "./stored-download.ts";
export { listTags, type Tag, tagImage, tagName, untagImage } from "./tag-image.ts";
