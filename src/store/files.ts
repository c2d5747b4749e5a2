/** Where the store's functions get their files from: the kernel, the place for remarks, and the question whose records the caller believes. */

import { lstatSync, readdirSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import { isImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";
import { openBeneath, readFileBeneath } from "../host/beneath.ts";
import { AT, AT_FDCWD, type Host, isErrno, linux, O, S } from "../host/mod.ts";

/** A record, manifest or signature larger than this is not from rkt. */
export const RECORD_LIMIT = 4 * 1024 * 1024;

export interface StoreOptions {
  readonly host?: Host;
  /** Gets a warning for each broken record. */
  readonly emit?: Emit;
}

/** One data directory, seen by one caller. */
export interface Store {
  readonly dataDir: DataDir;
  readonly host: Host;
  readonly emit: Emit;
  /**
   * True when `cas/verified` is the caller's own and nobody else may write in it: only then are its records believed, and written. Root believes root's; a user with a
   * data directory of their own believes their own; a member of group rkt has none.
   */
  readonly believes: boolean;
}

export function openStore(dataDir: DataDir, options: StoreOptions = {}): Store {
  const host = options.host ?? linux;
  return { dataDir, host, emit: options.emit ?? (() => {}), believes: isOwn(host, dataDir.verified) };
}

function isOwn(host: Host, directory: string): boolean {
  try {
    const status = host.statat(AT_FDCWD, directory, AT.SYMLINK_NOFOLLOW);
    return (status.mode & S.IFMT) === S.IFDIR && status.uid === process.geteuid?.() && (status.mode & 0o022) === 0;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return false;
    throw error;
  }
}

/** A path of {@link DataDir} relative to `cas`, as the functions of host/beneath.ts want it. */
export function inCas(store: Store, path: string): string {
  return path.slice(store.dataDir.cas.length + 1);
}

function notReadable({ dataDir }: Store, cause: unknown): RktError {
  return new RktError("PERMISSION", `Cannot read the image store ${quoted(dataDir.cas)}: permission denied`, {
    hint: "become root, or a member of the group rkt",
    cause,
  });
}

/** Reads and decodes one record. A broken one is reported with its path and counts as absent: one bad file must not stop every command. */
export function readRecord<T>(
  store: Store,
  path: string,
  decode: (json: string, document: string) => T,
): T | undefined {
  try {
    const bytes = readFileBeneath(store.host, store.dataDir.cas, inCas(store, path), RECORD_LIMIT);
    return bytes === undefined ? undefined : decode(bytes.toString("utf8"), quoted(path));
  } catch (error) {
    if (isErrno(error, "EACCES")) throw notReadable(store, error);
    store.emit({
      kind: "warning",
      text: `ignoring a broken record of the image store: ${error instanceof Error ? error.message : String(error)} (rkt fsck --repair mends it)`,
    });
    return undefined;
  }
}

/** Modification time in nanoseconds of a regular file; undefined when there is none. By path: nothing but an age is learned, so a link on the way does no harm. */
export function modifiedAt(path: string): bigint | undefined {
  const status = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return status?.isFile() === true ? status.mtimeNs : undefined;
}

/** The names in a directory of the store; none when it is missing. Read through a descriptor, so that no link is followed. */
export function namesIn(store: Store, path: string): string[] {
  let fd: number;
  try {
    fd = openBeneath(store.host, store.dataDir.cas, inCas(store, path), O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return [];
    throw isErrno(error, "EACCES") ? notReadable(store, error) : error;
  }
  try {
    return readdirSync(`/proc/self/fd/${fd}`);
  } finally {
    store.host.close(fd);
  }
}

/** The ids of every image with a record, sorted. */
export function imageIds(store: Store): ImageId[] {
  const suffix = ".json";
  return namesIn(store, store.dataDir.imageRecords)
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length))
    .filter(isImageId)
    .sort();
}
