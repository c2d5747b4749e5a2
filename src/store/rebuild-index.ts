/**
 * The index again, from what is left: root's own records where there are some, else the manifests among the blobs. What is rebuilt from blobs alone has no verdict and no
 * name but its digest, unless a name's record still points to it.
 */

import type { DataDir } from "../core/data-dir.ts";
import { type Digest, formatDigest, type ImageId, imageIdFromSha512, isImageId, parseDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { AciDownload, BlobRef } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { replaceFileBeneath } from "../host/beneath.ts";
import { isConfigMediaType, parseConfig, parseManifest } from "../spec/oci/mod.ts";
import { missingBlobs, readBlob } from "./blobs.ts";
import {
  imageIds,
  inCas,
  namesIn,
  openStore,
  RECORD_LIMIT,
  readRecord,
  type Store,
  type StoreOptions,
} from "./files.ts";
import { blobFiles } from "./leftovers.ts";
import { loadAll, loadVerified } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { blobsOf, decodeRef, encodeRecord, encodeRef, type ImageRecord } from "./record.ts";

/** Images that root has seen verified, whose blobs are all there, and whose record is not: those of a lost index. */
export function lostRecords(dataDir: DataDir, options: StoreOptions = {}): ImageRecord[] {
  const store = openStore(dataDir, options);
  const there: ReadonlySet<string> = new Set(imageIds(store));
  return namesIn(store, dataDir.verified)
    .map((name) => name.replace(/\.json$/, ""))
    .filter((name) => isImageId(name))
    .filter((id) => !there.has(id))
    .map((id) => loadVerified(store, id))
    .filter((record) => record !== undefined)
    .filter((record) => missingBlobs(dataDir, record, store).length === 0);
}

/** Warns when the index is empty although images are there: whoever looks for one would be told that there is none. */
export function warnOfLostIndex(dataDir: DataDir, options: StoreOptions): void {
  const store = openStore(dataDir, options);
  const { length } = store.believes ? lostRecords(dataDir, store) : [];
  if (length === 0) return;
  store.emit({
    kind: "warning",
    text: `the index of the image store ${quoted(store.dataDir.imageRecords)} is empty, but ${length} image(s) are there: rkt fsck --repair records them again`,
  });
}

/** Images whose OCI manifest is among the blobs, with all that it names, and that have no record. Every digest of the documents is checked. */
export function unrecordedImages(dataDir: DataDir, options: StoreOptions = {}): ImageRecord[] {
  const store = openStore(dataDir, options);
  const there: ReadonlySet<string> = new Set(imageIds(store));
  return unrecordedBlobs(store)
    .map((blob) => recordFromManifest(store, blob))
    .filter((record) => record !== undefined)
    .filter((record) => !there.has(record.id));
}

/** Digests of blobs that may be archives of App Container images without a record; only a worker may open them. */
export function unrecordedArchives(dataDir: DataDir, options: StoreOptions = {}): Digest[] {
  const store = openStore(dataDir, options);
  return unrecordedBlobs(store)
    .map(({ digest }) => digest)
    .filter(({ algorithm }) => algorithm === "sha512");
}

/** Records those of `ids` whose manifests are among the blobs. Returns what was recorded. */
export function rebuildRecords(dataDir: DataDir, ids: ReadonlySet<string>, options: StoreOptions = {}): ImageId[] {
  const records = unrecordedImages(dataDir, options).filter(({ id }) => ids.has(id));
  for (const record of records) restoreRecord(dataDir, record, options);
  return records.map(({ id }) => id);
}

/** Writes a record again, and those of its names that stand for nothing else meanwhile. Under the store's lock, shared. Throws CONFLICT when a blob has gone. */
export function restoreRecord(dataDir: DataDir, record: ImageRecord, options: StoreOptions = {}): void {
  const store = openStore(dataDir, options);
  withStoreLock(store, "shared", () => {
    if (missingBlobs(dataDir, record, store).length > 0)
      throw new RktError("CONFLICT", `Cannot record image ${record.id}: its blobs are not in the store any more`);
    const write = (path: string, text: string | Uint8Array): void =>
      replaceFileBeneath(store.host, dataDir.cas, inCas(store, path), text, 0o660);
    write(dataDir.imageRecord(record.id), encodeRecord(record, "without verdict"));
    for (const key of record.refs) {
      if (readRecord(quiet(store), dataDir.ref(key), decodeRef) === undefined)
        write(dataDir.ref(key), encodeRef(record.id));
    }
  });
}

/** The record of an archive that a worker has read again; its verdict is asked for when it is used. */
export function restoreAci(
  dataDir: DataDir,
  download: AciDownload,
  options: StoreOptions & { readonly origin?: string; readonly importTime?: bigint } = {},
): void {
  const store = openStore(dataDir, options);
  const path = inCas(store, dataDir.imageManifest(download.id));
  replaceFileBeneath(store.host, dataDir.cas, path, download.manifest, 0o660);
  restoreRecord(
    dataDir,
    {
      ...withoutSource(store, download.id),
      ...(options.origin === undefined ? {} : { origin: options.origin }),
      ...(options.importTime === undefined ? {} : { importTime: options.importTime }),
      id: download.id,
      format: "aci",
      name: download.name,
      labels: download.labels,
      layers: [{ ...download.archive, diffId: undefined }],
      manifest: undefined,
      config: undefined,
      uncompressedSize: download.uncompressedSize,
    },
    options,
  );
}

function withoutSource(
  store: Store,
  id: ImageId,
): Pick<ImageRecord, "origin" | "refs" | "latest" | "importTime" | "source" | "verification"> {
  return {
    origin: "rebuilt from the blobs",
    refs: namesOf(store, id),
    latest: false,
    importTime: BigInt(Date.now()) * 1_000_000n,
    source: undefined,
    verification: undefined,
  };
}

/** Keys of the names that still point to the image. */
function namesOf(store: Store, id: ImageId): string[] {
  return namesIn(store, store.dataDir.refs)
    .map((name) => name.replace(/\.json$/, ""))
    .filter((key) => /^[0-9a-f]{64}$/.test(key))
    .filter((key) => readRecord(quiet(store), store.dataDir.ref(key), decodeRef) === id);
}

function unrecordedBlobs(store: Store): BlobRef[] {
  const needed = new Set(
    loadAll(quiet(store))
      .flatMap(blobsOf)
      .map(({ digest }) => formatDigest(digest)),
  );
  return blobFiles(store)
    .filter(({ digest }) => digest !== undefined && !needed.has(digest))
    .map(({ path, digest = "" }) => ({
      digest: parseDigest(digest),
      size: Bun.file(path).size,
      mediaType: "",
    }));
}

/** Undefined for a blob that is no manifest, or whose other blobs are not all there. */
function recordFromManifest(store: Store, blob: BlobRef): ImageRecord | undefined {
  if (blob.size > RECORD_LIMIT) return undefined;
  try {
    const bytes = readBlob(store.dataDir, blob, store);
    if (bytes[0] !== 0x7b) return undefined; // "{"
    const manifest = parseManifest(bytes.toString("utf8"));
    if (!isConfigMediaType(manifest.config.mediaType)) return undefined;
    const id = imageIdFromSha512(new Bun.CryptoHasher("sha512").update(bytes).digest("hex"));
    const config = parseConfig(readBlob(store.dataDir, manifest.config, store).toString("utf8"));
    const record: ImageRecord = {
      ...withoutSource(store, id),
      id,
      format: "oci",
      name: `rebuilt/${blob.digest.hex.slice(0, 12)}`,
      labels: [],
      layers: manifest.layers.map(({ digest, size, mediaType }, at) => ({
        digest,
        size,
        mediaType,
        diffId: config.diffIds[at],
      })),
      manifest: { ...blob, mediaType: manifest.mediaType ?? "" },
      config: { digest: manifest.config.digest, size: manifest.config.size, mediaType: manifest.config.mediaType },
      uncompressedSize: undefined,
    };
    const whole = record.layers.every(({ diffId }) => diffId !== undefined);
    return whole && missingBlobs(store.dataDir, record, store).length === 0 ? record : undefined;
  } catch (error) {
    if (error instanceof RktError) return undefined;
    throw error;
  }
}

/** A broken record has its own line in the report. */
function quiet(store: Store): Store {
  return { ...store, emit: () => {} };
}
