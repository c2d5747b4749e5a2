/** What killed processes left in the store, and content that no image needs. Nothing here is of use to anybody; whether it may go yet is a matter of its age. */

import type { DataDir } from "../core/data-dir.ts";
import { type DigestAlgorithm, formatDigest, isImageId } from "../core/digest.ts";
import { openFileBeneath, TEMPORARY_PREFIX } from "../host/beneath.ts";
import { tryLock } from "../host/lock.ts";
import { isErrno } from "../host/mod.ts";
import { imageIds, inCas, modifiedAt, namesIn, openStore, readRecord, type Store, type StoreOptions } from "./files.ts";
import { loadAll } from "./load.ts";
import { blobsOf, decodeRef } from "./record.ts";

export interface Leftover {
  readonly path: string;
  readonly kind: "blob" | "record" | "download";
  /** In words, for reports. */
  readonly what: string;
  /** True for what may belong to a fetch that is still running, or can be continued: it stays for now. */
  readonly young: boolean;
}

export interface LeftoverOptions extends StoreOptions {
  /** Milliseconds; leftovers are young for at most this long. */
  readonly grace?: number;
  /** A fetch is going on (fetch-lock.ts): blobs without a record may be its own. */
  readonly fetching?: boolean;
}

/** A fetch that was interrupted is often begun again soon, and then finds what it had. */
const ORPHAN_GRACE = 60 * 60 * 1000;
/** Unfinished downloads are kept this long, so that the next fetch can continue them; and nothing is believed to belong to a fetch that runs longer. */
const DOWNLOAD_GRACE = 24 * 60 * 60 * 1000;

/** Every leftover of the store. Whoever removes some must hold the store's lock, exclusive, from before this call: a record that is put meanwhile would need them. */
export function findLeftovers(dataDir: DataDir, options: LeftoverOptions = {}): Leftover[] {
  const store = openStore(dataDir, options);
  const grace = options.grace ?? Number.POSITIVE_INFINITY;
  const orphan = options.fetching === true ? DOWNLOAD_GRACE : Math.min(grace, ORPHAN_GRACE);
  const download = Math.min(grace, DOWNLOAD_GRACE);
  return [...orphanBlobs(store, orphan), ...orphanFiles(store, orphan), ...unfinishedDownloads(store, download)];
}

/** Names of blobs in the store, as digests and paths; what has no such name, with `digest` undefined. */
export function blobFiles(store: Store): { path: string; name: string; digest: string | undefined }[] {
  return (["sha256", "sha512"] satisfies DigestAlgorithm[]).flatMap((algorithm) => {
    const directory = `${store.dataDir.blobs}/${algorithm}`;
    const starts = namesIn(store, directory).filter((name) => /^[0-9a-f]{2}$/.test(name));
    return starts.flatMap((start) =>
      namesIn(store, `${directory}/${start}`).map((name) => {
        const hex = name.slice(algorithm.length + 1);
        // Of full length: names of rkt 1.x have half as many digits, and go with their image.
        const isBlob = name === `${algorithm}-${hex}` && isFullHex(algorithm, hex) && hex.startsWith(start);
        const path = `${directory}/${start}/${name}`;
        return { path, name, digest: isBlob ? `${algorithm}:${hex}` : undefined };
      }),
    );
  });
}

/** Blobs that no image has. Names that are no blobs are left: they are not ours. */
function* orphanBlobs(store: Store, grace: number): Generator<Leftover> {
  const needed = new Set(
    loadAll(store)
      .flatMap(blobsOf)
      .map(({ digest }) => formatDigest(digest)),
  );
  for (const { path, name, digest } of blobFiles(store)) {
    const unneeded = digest !== undefined ? !needed.has(digest) : name.startsWith(TEMPORARY_PREFIX);
    if (unneeded) yield* leftover(path, "blob", "a blob that no image has", grace);
  }
}

function isFullHex(algorithm: DigestAlgorithm, hex: string): boolean {
  return hex.length === (algorithm === "sha256" ? 64 : 128) && /^[0-9a-f]+$/.test(hex);
}

/** Names, verdicts, manifests and signatures of images that are not there, and records that were never finished. */
function* orphanFiles(store: Store, grace: number): Generator<Leftover> {
  const { dataDir } = store;
  const there: ReadonlySet<string> = new Set(imageIds(store));
  const isOrphan: [directory: string, test: (path: string, name: string) => boolean][] = [
    [
      dataDir.imageRecords,
      (_, name) => /\.(manifest|asc|signatures)$/.test(name) && !there.has(name.replace(/\.[a-z]+$/, "")),
    ],
    [dataDir.refs, (path) => isDangling(store, path, there)],
  ];
  if (store.believes) {
    isOrphan.push(
      [dataDir.verified, (_, name) => name.endsWith(".json") && isGone(name.slice(0, -".json".length), there)],
      [dataDir.verifiedRefs, (path) => isDangling(store, path, there)],
    );
  }
  for (const [directory, test] of isOrphan) {
    for (const name of namesIn(store, directory)) {
      const path = `${directory}/${name}`;
      if (name.startsWith(TEMPORARY_PREFIX)) yield* leftover(path, "record", "a record that was never finished", grace);
      else if (test(path, name)) yield* leftover(path, "record", "a record of an image that is not there", grace);
    }
  }
}

function isGone(id: string, there: ReadonlySet<string>): boolean {
  return isImageId(id) && !there.has(id);
}

function isDangling(store: Store, path: string, there: ReadonlySet<string>): boolean {
  const target = readRecord({ ...store, emit: () => {} }, path, decodeRef);
  return target !== undefined && !there.has(target);
}

/** Unfinished downloads, and notes about finished ones. What a process works on (its lock is taken) stays whatever its age. */
function* unfinishedDownloads(store: Store, grace: number): Generator<Leftover> {
  for (const name of namesIn(store, store.dataDir.downloads)) {
    const path = `${store.dataDir.downloads}/${name}`;
    const what = name.endsWith(".json") ? "a note about a download" : "an unfinished download";
    for (const found of leftover(path, "download", what, grace)) {
      yield found.young || isUnlocked(store, path) ? found : { ...found, young: true };
    }
  }
}

function isUnlocked(store: Store, path: string): boolean {
  try {
    const file = openFileBeneath(store.host, store.dataDir.cas, inCas(store, path));
    if (file === undefined) return false;
    try {
      return tryLock(store.host, file.fd, "exclusive");
    } finally {
      store.host.close(file.fd);
    }
  } catch (error) {
    if (isErrno(error, "EACCES")) return false;
    throw error;
  }
}

/** Nothing for what is not a regular file: links and directories are never removed here. */
function* leftover(path: string, kind: Leftover["kind"], what: string, grace: number): Generator<Leftover> {
  const modified = modifiedAt(path);
  if (modified !== undefined) yield { path, kind, what, young: age(modified) <= grace && grace > 0 };
}

/** Milliseconds since `then` (nanoseconds since the epoch). */
export function age(then: bigint): number {
  return Date.now() - Number(then / 1_000_000n);
}
