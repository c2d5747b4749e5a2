/** `rkt fsck` on the store: records, names, blobs, modes. Looks without a lock; each mend looks again under its own. */

import { lstatSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { formatDigest, type ImageId, isImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import type { BlobRef, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { openBeneath, openFileBeneath, readFileBeneath, removeFileBeneath, TEMPORARY_PREFIX } from "../host/beneath.ts";
import { hashFile } from "../host/hash-file.ts";
import { AT, O, statOf } from "../host/mod.ts";
import { tryFetchLock } from "./fetch-lock.ts";
import { inCas, namesIn, openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";
import { findLeftovers } from "./leftovers.ts";
import { loadAll, loadVerified } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { lostRecords, restoreRecord, unrecordedImages } from "./rebuild-index.ts";
import { blobsOf, decodeRecord, decodeRef } from "./record.ts";
import { isLinkedToRkt1 } from "./rkt-1.ts";

export interface CheckOptions extends StoreOptions {
  /** Read every blob and compare its digest; without it, its size. */
  readonly deep: boolean;
}

/** A wrong or missing blob, with the images that need it. Mending removes what is wrong; bringing the right one is for whoever can fetch. */
export interface BlobProblem extends Problem {
  readonly blob: BlobRef;
  readonly images: readonly StoredImage[];
}

/** Problems of records and names, in the order in which they should be mended. For root, who believes `cas/verified`. */
export function recordProblems(dataDir: DataDir, options: StoreOptions = {}): Problem[] {
  const store = { ...openStore(dataDir, options), emit: () => {} };
  return [
    ...brokenRecords(store),
    ...lostRecords(dataDir, store).map((record) => lost(store, record, "root's own record")),
    ...(isIndexLost(dataDir) ? unrecordedImages(dataDir, store).map((record) => unrecorded(store, record)) : []),
    ...brokenFiles(store, dataDir.verified, "verdict", isImageId, (json, document, name) =>
      decodeRecord(json, document, name as ImageId),
    ),
    ...brokenFiles(store, dataDir.refs, "name", isKey, decodeRef),
    ...brokenFiles(store, dataDir.verifiedRefs, "name", isKey, decodeRef),
    ...lostNames(store),
    ...lostManifests(store),
  ];
}

/** True when there is no readable record at all: single blobs without a record are what killed fetches leave, and nothing is made of them. */
export function isIndexLost(dataDir: DataDir, options: StoreOptions = {}): boolean {
  return loadAll({ ...openStore(dataDir, options), emit: () => {} }).length === 0;
}

/** Every blob that an image needs and that is not what it should be. */
export function blobProblems(dataDir: DataDir, { deep, ...options }: CheckOptions): BlobProblem[] {
  const store = { ...openStore(dataDir, options), emit: () => {} };
  const users = new Map<string, { blob: BlobRef; images: StoredImage[] }>();
  for (const image of loadAll(store)) {
    for (const blob of blobsOf(image)) {
      const key = formatDigest(blob.digest);
      const known = users.get(key) ?? { blob, images: [] };
      known.images.push(image);
      users.set(key, known);
    }
  }
  return [...users.values()].flatMap(({ blob, images }) => {
    const fault = blobFault(store, blob, deep);
    if (fault === undefined) return [];
    const path = dataDir.blob(blob.digest);
    const [first] = images;
    const names = images.map(({ id }) => id.slice(0, 19)).join(", ");
    const problem: BlobProblem = {
      severity: "damage",
      kind: fault.kind,
      path,
      ...(first === undefined ? {} : { image: first.id }),
      message: `blob ${formatDigest(blob.digest)} of ${names} ${fault.text}`,
      blob,
      images,
    };
    return [problem];
  });
}

/** Removes a blob that is not what it should be, after looking again under the store's lock; true when there was one. */
export function removeWrongBlob(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): boolean {
  const store = openStore(dataDir, options);
  return withStoreLock(store, "exclusive", () => {
    const fault = blobFault(store, blob, true);
    if (fault === undefined || fault.kind === "missing-blob") return false;
    removeFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.blob(blob.digest)));
    return true;
  });
}

/** True when the store has the blob with its digest. */
export function isBlobWhole(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): boolean {
  return blobFault(openStore(dataDir, options), blob, true) === undefined;
}

function blobFault(
  store: Store,
  { digest, size }: BlobRef,
  deep: boolean,
): { kind: "missing-blob" | "wrong-size" | "wrong-content"; text: string } | undefined {
  let file: { fd: number; size: number } | undefined;
  try {
    file = openFileBeneath(store.host, store.dataDir.cas, inCas(store, store.dataDir.blob(digest)));
  } catch {
    return { kind: "wrong-content", text: "is no regular file" };
  }
  if (file === undefined) return { kind: "missing-blob", text: "is missing" };
  try {
    if (file.size !== size) return { kind: "wrong-size", text: `has ${file.size} bytes, expected ${size}` };
    const hex = deep ? hashFile(file.fd, digest.algorithm) : digest.hex;
    return hex === digest.hex
      ? undefined
      : { kind: "wrong-content", text: `has content with ${digest.algorithm}:${hex}` };
  } finally {
    store.host.close(file.fd);
  }
}

/** Leftovers of the store as problems; those that may still be used are none. */
export function leftoverProblems(dataDir: DataDir, options: StoreOptions = {}): Problem[] {
  const store = { ...openStore(dataDir, options), emit: () => {} };
  return findLeftovers(dataDir, store)
    .filter(({ young }) => !young)
    .map(({ path, what }) => ({
      severity: "leftover",
      kind: "leftover",
      path,
      message: `${quoted(path)} is ${what}`,
      mend: () => removeLeftover(store, path),
    }));
}

function removeLeftover(store: Store, path: string): string {
  return withStoreLock(store, "exclusive", () => {
    const release = tryFetchLock(store);
    try {
      const found = findLeftovers(store.dataDir, { ...store, fetching: release === undefined });
      if (!found.some((one) => one.path === path && !one.young)) return "left it: it is used meanwhile";
      removeFileBeneath(store.host, store.dataDir.cas, inCas(store, path));
      return "removed it";
    } finally {
      release?.();
    }
  });
}

/** Files that group rkt must be able to read, and nobody else: a mode or group that a copy with other tools, or an odd umask, has made. */
export function modeProblems(dataDir: DataDir, options: StoreOptions = {}): Problem[] {
  const store = openStore(dataDir, options);
  const directory = lstatSync(dataDir.imageRecords, { throwIfNoEntry: false });
  // A user's own data directory has no group to share with.
  if (directory === undefined || (directory.mode & 0o020) === 0) return [];
  const { gid } = directory;
  const paths = [
    ...[dataDir.imageRecords, dataDir.refs].flatMap((directory) =>
      namesIn(store, directory)
        .filter((name) => !name.startsWith(TEMPORARY_PREFIX))
        .map((name) => `${directory}/${name}`),
    ),
    ...loadAll({ ...store, emit: () => {} }).flatMap((image) =>
      blobsOf(image).map(({ digest }) => dataDir.blob(digest)),
    ),
  ];
  return [...new Set(paths)].flatMap((path) => {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status?.isFile() !== true) return [];
    const bits = status.mode & 0o777;
    if (status.gid === gid && (bits & 0o007) === 0 && (bits & 0o660) === 0o660) return [];
    const problem: Problem = {
      severity: "damage",
      kind: "wrong-mode",
      path,
      message: `${quoted(path)} has group and mode ${status.gid} ${bits.toString(8)}, expected ${gid} 660`,
      mend: () => setMode(store, path, gid),
    };
    return [problem];
  });
}

function setMode(store: Store, path: string, gid: number): string {
  const fd = openBeneath(store.host, store.dataDir.cas, inCas(store, path), O.RDONLY);
  try {
    // A second name could be a file of somebody else's, put here so that root opens it to the group.
    const status = statOf(fd);
    if (status.nlink !== 1 && !isLinkedToRkt1(store.dataDir, path, status))
      throw new RktError("MALICIOUS", `Cannot mend ${quoted(path)}: it has other names`);
    store.host.fchownat(fd, "", -1, gid, AT.EMPTY_PATH);
    store.host.fchmod(fd, 0o660);
    return "set group and mode";
  } finally {
    store.host.close(fd);
  }
}

function lost(store: Store, record: Parameters<typeof restoreRecord>[1], from: string): Problem {
  const path = store.dataDir.imageRecord(record.id);
  return {
    severity: "damage",
    kind: "lost-record",
    path,
    image: record.id,
    message: `image ${record.id} has no record in the index; ${from} can give it`,
    mend: () => {
      restoreRecord(store.dataDir, record, store);
      return `recorded it as ${record.name}`;
    },
  };
}

/** Without any record the index may be lost; or the very first fetch was killed, or refused, before there was one. Names and trees are there only if there was one. */
function unrecorded(store: Store, record: Parameters<typeof restoreRecord>[1]): Problem {
  const { refs, verified, trees } = store.dataDir;
  const wasThere = [refs, verified, trees].some((path) => namesIn(store, path).some((name) => name.endsWith(".json")));
  return { ...lost(store, record, "its blobs"), ...(wasThere ? {} : { severity: "leftover" as const }) };
}

/** A record that cannot be read, where root's own does not stand in for it. */
function brokenRecords(store: Store): Problem[] {
  return brokenFiles(store, store.dataDir.imageRecords, "record", isImageId, (json, document, name) =>
    decodeRecord(json, document, name as ImageId),
  );
}

function brokenFiles(
  store: Store,
  directory: string,
  kind: "record" | "verdict" | "name",
  isName: (name: string) => boolean,
  decode: (json: string, document: string, name: string) => unknown,
): Problem[] {
  return namesIn(store, directory)
    .filter((file) => file.endsWith(".json") && isName(file.slice(0, -".json".length)))
    .flatMap((file) => {
      const [path, name] = [`${directory}/${file}`, file.slice(0, -".json".length)];
      const fault = fileFault(store, path, (json, document) => decode(json, document, name));
      if (fault === undefined) return [];
      const image = isImageId(name) ? { image: name } : {};
      const message = `the ${kind} ${quoted(path)} cannot be read: ${fault}`;
      const mend = () => mendBroken(store, path, name, kind, (json, document) => decode(json, document, name));
      const problem: Problem = { severity: "damage", kind: `broken-${kind}`, path, ...image, message, mend };
      return [problem];
    });
}

function fileFault(
  store: Store,
  path: string,
  decode: (json: string, document: string) => unknown,
): string | undefined {
  try {
    const bytes = readFileBeneath(store.host, store.dataDir.cas, inCas(store, path), RECORD_LIMIT);
    if (bytes !== undefined) decode(bytes.toString("utf8"), "it");
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function mendBroken(
  store: Store,
  path: string,
  name: string,
  kind: "record" | "verdict" | "name",
  decode: (json: string, document: string) => unknown,
): string {
  const own = kind === "record" && isImageId(name) ? loadVerified(store, name) : undefined;
  if (own !== undefined) {
    restoreRecord(store.dataDir, own, store);
    return "wrote it again from root's own record";
  }
  return withStoreLock(store, "exclusive", () => {
    if (fileFault(store, path, decode) === undefined) return "left it: it can be read meanwhile";
    removeFileBeneath(store.host, store.dataDir.cas, inCas(store, path));
    if (kind === "verdict") return "removed it: the image is verified again when it is used";
    return kind === "name" ? "removed it" : "removed it: what the blobs tell is recorded again";
  });
}

function isKey(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

/** Names that an image's record has and that no file gives. */
function lostNames(store: Store): Problem[] {
  const { dataDir } = store;
  return loadAll(store).flatMap((image) => {
    const lostKeys = image.refs.filter((key) => lstatSync(dataDir.ref(key), { throwIfNoEntry: false }) === undefined);
    if (lostKeys.length === 0) return [];
    const problem: Problem = {
      severity: "damage",
      kind: "lost-name",
      path: dataDir.ref(lostKeys[0] ?? ""),
      image: image.id,
      message: `image ${image.id} cannot be found under ${lostKeys.length} of the names by which it was fetched`,
      mend: () => {
        restoreRecord(dataDir, image, store);
        return "recorded the names again";
      },
    };
    return [problem];
  });
}

/** An ACI's manifest is read from its archive by the worker that fetches; without it the image cannot be shown before it is unpacked. */
function lostManifests(store: Store): Problem[] {
  const { dataDir } = store;
  return loadAll(store)
    .filter(
      ({ format, id }) =>
        format === "aci" && lstatSync(dataDir.imageManifest(id), { throwIfNoEntry: false }) === undefined,
    )
    .map(({ id }) => ({
      severity: "damage",
      kind: "lost-manifest",
      path: dataDir.imageManifest(id),
      image: id,
      message: `the manifest of image ${id} is missing`,
    }));
}
