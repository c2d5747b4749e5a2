/** Step 3 of the spine: VerifiedImage → StoredImage. */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { StoredImage, VerifiedImage } from "../core/spine.ts";
import { replaceFileBeneath } from "../host/beneath.ts";
import { encodeSignatureSet } from "../spec/oci/signature-set.ts";
import { missingBlobs } from "./blobs.ts";
import { inCas, modifiedAt, openStore, type Store, type StoreOptions } from "./files.ts";
import { loadImage, withFacts } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { encodeRecord, encodeRef, type ImageRecord, nameKey, recordOf } from "./record.ts";

export interface PutOptions extends StoreOptions {
  /** The image was asked for by a name without a version. */
  readonly latest?: boolean;
}

/** Modes: group rkt may read and remove images; what root believes is root's. */
const SHARED = 0o660;
const OWN = 0o600;

/**
 * Records a verified image, so that it can be found by id, by its name and by each of `names` (see {@link referenceName}). Its blobs must be in the store.
 * A caller who believes `cas/verified` (root) also writes the verdict there. Killed in between, it leaves an image that is not there yet, or one without its names.
 *
 * Under the store's lock, shared. Throws CONFLICT when a blob was removed meanwhile (fetch again), SYSTEM_CALL when a file cannot be written.
 */
export function putImage(
  dataDir: DataDir,
  verified: VerifiedImage,
  names: readonly string[],
  options: PutOptions = {},
): StoredImage {
  const store = openStore(dataDir, options);
  const keys = names.map(nameKey);
  return withStoreLock(store, "shared", () => {
    const record = recordOf(verified, {
      refs: [...new Set([...(loadImage(store, verified.download.id)?.refs ?? []), ...keys])],
      latest: options.latest ?? false,
      importTime: BigInt(Date.now()) * 1_000_000n,
    });
    refuseMissing(store, record);
    writeRecords(store, record, verified);
    for (const key of keys) writeRef(store, record.id, key);
    const lastUsed = modifiedAt(dataDir.imageRecord(record.id)) ?? record.importTime;
    return withFacts({ ...record, verification: store.believes ? record.verification : undefined }, lastUsed);
  });
}

/** The record by which the image is there comes last. */
function writeRecords(store: Store, record: ImageRecord, { download }: VerifiedImage): void {
  const { dataDir } = store;
  if (download.format === "aci") {
    replace(store, dataDir.imageManifest(record.id), download.manifest, SHARED);
    if (download.signature !== undefined) replace(store, dataDir.imageSignature(record.id), download.signature, SHARED);
  } else if (download.signatures !== undefined) {
    replace(store, dataDir.imageSignatures(record.id), encodeSignatureSet(download.signatures), SHARED);
  }
  if (store.believes) replace(store, dataDir.verifiedRecord(record.id), encodeRecord(record, "with verdict"), OWN);
  replace(store, dataDir.imageRecord(record.id), encodeRecord(record, "without verdict"), SHARED);
}

function writeRef(store: Store, id: ImageId, key: string): void {
  if (store.believes) replace(store, store.dataDir.verifiedRef(key), encodeRef(id), OWN);
  replace(store, store.dataDir.ref(key), encodeRef(id), SHARED);
}

/** Blobs are removed under the exclusive lock only: one that is here under the shared lock stays until the record is written. Before it: killed in between, there is none. */
function refuseMissing(store: Store, record: ImageRecord): void {
  const missing = missingBlobs(store.dataDir, record, store);
  if (missing.length === 0) return;
  throw new RktError(
    "CONFLICT",
    `Cannot store image ${record.id}: ${missing.length} of its blobs are not in the store`,
    {
      hint: "another rkt may have removed them meanwhile: fetch the image again",
    },
  );
}

function replace(store: Store, path: string, content: string | Uint8Array, mode: number): void {
  replaceFileBeneath(store.host, store.dataDir.cas, inCas(store, path), content, mode);
}
