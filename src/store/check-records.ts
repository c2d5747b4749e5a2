/** `rkt fsck` on the records and names of the store. Looks without a lock; each mend looks again under its own. */

import { lstatSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { type ImageId, isImageId } from "../core/digest.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { readFileBeneath, removeFileBeneath } from "../host/beneath.ts";
import { inCas, namesIn, openStore, RECORD_LIMIT, type Store, type StoreOptions } from "./files.ts";
import { loadAll, loadVerified } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { lostRecords, restoreRecord, unrecordedImages } from "./rebuild-index.ts";
import { decodeRecord, decodeRef } from "./record.ts";

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

/**
 * True when there is no readable record at all: single blobs without a record are what killed fetches leave, and
 * nothing is made of them.
 */
export function isIndexLost(dataDir: DataDir, options: StoreOptions = {}): boolean {
  return loadAll({ ...openStore(dataDir, options), emit: () => {} }).length === 0;
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

/**
 * Without any record the index may be lost; or the very first fetch was killed, or refused, before there was one. Names
 * and trees are there only if there was one.
 */
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

/**
 * An ACI's manifest is read from its archive by the worker that fetches; without it the image cannot be shown before it
 * is unpacked.
 */
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
