/**
 * Images that rkt 1.x stored: `cas/blob/sha512/ab/ID`, the uncompressed archive under the image's id, and `cas/imageManifest/sha512/ab/ID`. Taking one over gives the archive a second
 * name, that of a blob here, and the image a record: nothing is copied, and rkt 1.x still finds what it had. Its database is not read.
 */

import { fstatSync, lstatSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { type ImageId, imageIdFromSha512, isImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { AciDownload } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { openBeneath, openFileBeneath, removeFileBeneath } from "../host/beneath.ts";
import { AT, type FileStatus, isErrno, O, S, statOf } from "../host/mod.ts";
import { imageIds, inCas, namesIn, openStore, type Store, type StoreOptions } from "./files.ts";
import { withStoreLock } from "./lock.ts";
import { restoreAci } from "./rebuild-index.ts";

/** What the records of such images say of where they came from: the database knew, and is not read. */
export const RKT1_ORIGIN = "taken over from rkt 1.x";

/** The images of rkt 1.x that have no record here. */
export function untakenImages(dataDir: DataDir, options: StoreOptions = {}): ImageId[] {
  const store = openStore(dataDir, options);
  const there: ReadonlySet<string> = new Set(imageIds(store));
  const directory = `${dataDir.blobs}/sha512`;
  return namesIn(store, directory)
    .filter((start) => /^[0-9a-f]{2}$/.test(start))
    .flatMap((start) => namesIn(store, `${directory}/${start}`).filter((name) => name.startsWith(`sha512-${start}`)))
    .filter(isImageId)
    .filter((id) => !there.has(id));
}

/** The archive of such an image, open for reading. Throws NOT_FOUND, INVALID_INPUT for what is no file. */
export function openRkt1Blob(dataDir: DataDir, id: ImageId, options: StoreOptions = {}): number {
  const store = openStore(dataDir, options);
  const file = openFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.rkt1Blob(id)));
  if (file !== undefined) return file.fd;
  throw new RktError("NOT_FOUND", `Cannot read ${quoted(dataDir.rkt1Blob(id))}: it is gone`);
}

/**
 * Takes image `id` over, whose archive is open as `archive`: `download` is what a worker has read in it. Can be repeated. Nothing is said of who signed the image: rkt 1.x kept no signature, and
 * every member of group rkt could write to its store. Throws DIGEST_MISMATCH when the archive is another image's, CONFLICT when it was replaced meanwhile, SYSTEM_CALL.
 */
export function takeOverImage(
  dataDir: DataDir,
  id: ImageId,
  archive: number,
  download: AciDownload,
  options: StoreOptions = {},
): void {
  const store = openStore(dataDir, options);
  // An archive that is not compressed has the digest of which its id is the first half.
  if (download.id !== id || imageIdFromSha512(download.archive.digest.hex) !== id) {
    throw new RktError(
      "DIGEST_MISMATCH",
      `Cannot take over image ${id}: its archive ${quoted(dataDir.rkt1Blob(id))} is that of ${download.id}`,
    );
  }
  linkBlob(store, id, archive, basename(dataDir.blob(download.archive.digest)));
  shareBlob(store, dataDir.blob(download.archive.digest));
  const importTime = BigInt(Math.trunc(fstatSync(archive).mtimeMs)) * 1_000_000n;
  restoreAci(dataDir, download, { ...options, origin: RKT1_ORIGIN, importTime });
}

/** Group rkt may read and remove it, and the user that fetches write beside it, as with every blob: rkt 1.x may have known another group. */
function shareBlob(store: Store, blob: string): void {
  const { host, dataDir } = store;
  const { uid, gid, mode } = lstatSync(dataDir.blobs);
  if (process.geteuid?.() !== 0 || (mode & 0o020) === 0) return;
  for (const path of [dirname(dirname(blob)), dirname(blob), blob]) {
    const fd = openBeneath(host, dataDir.cas, inCas(store, path), O.RDONLY);
    try {
      const status = statOf(fd);
      const isFile = (status.mode & S.IFMT) === S.IFREG;
      // A further name could be a file of somebody else's.
      if (isFile && !isLinkedToRkt1(dataDir, path, status)) continue;
      host.fchownat(fd, "", isFile ? status.uid : uid, gid, AT.EMPTY_PATH);
      host.fchmod(fd, isFile ? 0o660 : 0o2770);
    } finally {
      host.close(fd);
    }
  }
}

/** Removes an archive of rkt 1.x that is not what its name says, under the store's lock; false when there is none. */
export function removeRkt1Blob(dataDir: DataDir, id: ImageId, options: StoreOptions = {}): boolean {
  const store = openStore(dataDir, options);
  return withStoreLock(store, "exclusive", () =>
    removeFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.rkt1Blob(id))),
  );
}

/** In one directory, which both names begin alike for; by descriptors, since group rkt can write there. */
function linkBlob(store: Store, id: ImageId, archive: number, name: string): void {
  const { host, dataDir } = store;
  const directory = openBeneath(host, dataDir.cas, dirname(inCas(store, dataDir.rkt1Blob(id))), O.PATH | O.DIRECTORY);
  try {
    host.linkat(directory, id, directory, name, 0);
    const linked = host.statat(directory, name, AT.SYMLINK_NOFOLLOW);
    if (linked.ino === statOf(archive).ino) return;
    host.unlinkat(directory, name, 0);
    throw new RktError("CONFLICT", `Cannot take over image ${id}: its archive was replaced meanwhile`);
  } catch (error) {
    // Linked before a crash, or fetched.
    if (!isErrno(error, "EEXIST")) throw error;
  } finally {
    host.close(directory);
  }
}

/** True when a blob's only other name is the one that rkt 1.x gave it. */
export function isLinkedToRkt1(dataDir: DataDir, blob: string, { ino, nlink }: FileStatus): boolean {
  const id = basename(blob).slice(0, "sha512-".length + 64);
  if (nlink !== 2 || !isImageId(id)) return false;
  return lstatSync(dataDir.rkt1Blob(id), { throwIfNoEntry: false })?.ino === ino;
}
