/** Blobs: files named by their digest. Anybody in group rkt can write them, so what is read is checked. */

import type { DataDir } from "../core/data-dir.ts";
import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { BlobRef, StoredImage } from "../core/spine.ts";
import { openFileBeneath, readAll } from "../host/beneath.ts";
import { hashFile } from "../host/hash-file.ts";
import { isErrno } from "../host/mod.ts";
import { inCas, openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";
import { blobsOf } from "./record.ts";

/**
 * Opens a blob for a worker: a descriptor on a regular file inside the store. The content is not checked here; whoever reads it hashes it.
 * Throws NOT_FOUND when it is missing, DIGEST_MISMATCH when its size is not the one recorded.
 */
export function openBlob(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): number {
  const store = openStore(dataDir, options);
  const file = openFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.blob(blob.digest)));
  if (file === undefined) throw missing(blob.digest);
  if (file.size === blob.size) return file.fd;
  store.host.close(file.fd);
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot use blob ${formatDigest(blob.digest)}: it has ${file.size} bytes, expected ${blob.size}`,
  );
}

/** The content of a small blob (manifest, configuration), checked. Throws NOT_FOUND, DIGEST_MISMATCH, INVALID_INPUT when it is over 4 MiB. */
export function readBlob(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): Buffer {
  const store = openStore(dataDir, options);
  const fd = openBlob(dataDir, blob, options);
  try {
    const bytes = readAll(fd, RECORD_LIMIT, () => `blob ${formatDigest(blob.digest)}`);
    const hex = new Bun.CryptoHasher(blob.digest.algorithm).update(bytes).digest("hex");
    if (hex === blob.digest.hex) return bytes;
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot use blob ${formatDigest(blob.digest)}: its content has ${blob.digest.algorithm}:${hex}`,
    );
  } finally {
    store.host.close(fd);
  }
}

/** Reads a whole blob and compares its digest. Throws NOT_FOUND, DIGEST_MISMATCH, INVALID_INPUT when something else lies in its place. */
export function checkBlob(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): void {
  const store = openStore(dataDir, options);
  const fd = openBlob(dataDir, blob, options);
  try {
    const hex = hashFile(fd, blob.digest.algorithm);
    if (hex === blob.digest.hex) return;
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot use blob ${formatDigest(blob.digest)}: its content has ${blob.digest.algorithm}:${hex}`,
    );
  } finally {
    store.host.close(fd);
  }
}

/** The digests of an image's blobs that are not in the store, or not with their size: such an image must be fetched again before it can be rendered. */
export function missingBlobs(
  dataDir: DataDir,
  image: Pick<StoredImage, "layers" | "manifest" | "config">,
  options: StoreOptions = {},
): Digest[] {
  const store = openStore(dataDir, options);
  return blobsOf(image)
    .filter((blob) => !isThere(store, blob))
    .map((blob) => blob.digest);
}

function isThere(store: Store, blob: BlobRef): boolean {
  try {
    const file = openFileBeneath(store.host, store.dataDir.cas, inCas(store, store.dataDir.blob(blob.digest)));
    if (file === undefined) return false;
    store.host.close(file.fd);
    return file.size === blob.size;
  } catch (error) {
    if (isErrno(error, "ELOOP") || (error instanceof RktError && error.code === "INVALID_INPUT")) return false;
    throw error;
  }
}

function missing(digest: Digest): RktError {
  return new RktError("NOT_FOUND", `Cannot read blob ${formatDigest(digest)}: it is not in the store`, {
    hint: "fetch the image again",
  });
}
