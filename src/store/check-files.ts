/**
 * `rkt fsck` on the files of the store: what nobody needs, and who may read the rest. Looks without a lock; each mend
 * looks again under its own.
 */

import { lstatSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { openBeneath, removeFileBeneath, TEMPORARY_PREFIX } from "../host/beneath.ts";
import { AT, O, statOf } from "../host/mod.ts";
import { tryFetchLock } from "./fetch-lock.ts";
import { inCas, namesIn, openStore, type Store, type StoreOptions } from "./files.ts";
import { findLeftovers } from "./leftovers.ts";
import { loadAll } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { blobsOf } from "./record.ts";
import { isLinkedToRkt1 } from "./rkt-1.ts";

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

/**
 * Files that group rkt must be able to read, and nobody else: a mode or group that a copy with other tools, or an odd
 * umask, has made.
 */
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
