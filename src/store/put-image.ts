/** Step 3 of the spine: VerifiedImage → StoredImage. */

import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { StoredImage, VerifiedImage } from "../core/spine.ts";
import { readFileBeneath, replaceFileBeneath } from "../host/beneath.ts";
import { encodeSignatureSet } from "../spec/oci/signature-set.ts";
import { missingBlobs } from "./blobs.ts";
import { inCas, modifiedAt, openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";
import { touchImage } from "./list-images.ts";
import { loadAll, loadImage, withFacts } from "./load.ts";
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
 * When all of this is written already, the image only counts as used now.
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
    const former = loadImage(store, verified.download.id);
    const record = recordOf(verified, {
      refs: [...new Set([...(former?.refs ?? []), ...keys])],
      latest: options.latest ?? false,
      importTime: BigInt(Date.now()) * 1_000_000n,
    });
    refuseMissing(store, record);
    const known = former && { ...record, importTime: former.importTime };
    if (known !== undefined && isNewest(store, known) && isWritten(store, filesOf(store, known, verified, keys))) {
      touchImage(dataDir, known, options);
      return stored(store, known);
    }
    for (const file of filesOf(store, record, verified, keys)) replace(store, file);
    return stored(store, record);
  });
}

function stored(store: Store, record: ImageRecord): StoredImage {
  const lastUsed = modifiedAt(store.dataDir.imageRecord(record.id)) ?? record.importTime;
  return withFacts({ ...record, verification: store.believes ? record.verification : undefined }, lastUsed);
}

interface StoreFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode: number;
}

/** In the order in which they are written: the record by which the image is there after its own files, then the names. */
function filesOf(
  { dataDir, believes }: Store,
  record: ImageRecord,
  { download }: VerifiedImage,
  keys: readonly string[],
): StoreFile[] {
  const { id } = record;
  const files: StoreFile[] = [];
  const shared = (path: string, content: string | Uint8Array) => files.push({ path, content, mode: SHARED });
  const own = (path: string, content: string) => believes && files.push({ path, content, mode: OWN });
  if (download.format === "aci") {
    shared(dataDir.imageManifest(id), download.manifest);
    if (download.signature !== undefined) shared(dataDir.imageSignature(id), download.signature);
  } else if (download.signatures !== undefined) {
    shared(dataDir.imageSignatures(id), encodeSignatureSet(download.signatures));
  }
  own(dataDir.verifiedRecord(id), encodeRecord(record, "with verdict"));
  shared(dataDir.imageRecord(id), encodeRecord(record, "without verdict"));
  for (const key of keys) {
    own(dataDir.verifiedRef(key), encodeRef(id));
    shared(dataDir.ref(key), encodeRef(id));
  }
  return files;
}

/** An image that was fetched again and is the same: ten files that are forced to the disk would be most of the time that it takes. */
function isWritten(store: Store, files: readonly StoreFile[]): boolean {
  try {
    return files.every(({ path, content }) => {
      const written = readFileBeneath(store.host, store.dataDir.cas, inCas(store, path), RECORD_LIMIT);
      return written?.equals(Buffer.from(content)) === true;
    });
  } catch {
    // Something else lies there: it is replaced.
    return false;
  }
}

/** Of several images with one name the one fetched last counts: one that is not the last keeps no import time of old. */
function isNewest(store: Store, { id, name, importTime }: ImageRecord): boolean {
  return loadAll(store).every((other) => other.id === id || other.name !== name || other.importTime <= importTime);
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

function replace(store: Store, { path, content, mode }: StoreFile): void {
  replaceFileBeneath(store.host, store.dataDir.cas, inCas(store, path), content, mode);
}
