/** Making a data directory, with its layout (data-dir-layout.ts) and its format (data-dir-format.ts). */

import { closeSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DATA_DIR_FORMAT, type DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { AT, AT_FDCWD, type FileStatus, type Host, isErrno, LOCK, O, S } from "../host/mod.ts";
import { isUntaken, readFormat, writeFormat } from "./data-dir-format.ts";
import { asideName, geteuid, isRoot, layout, makeDirectory, ownerFor, permitted, setOwner } from "./data-dir-layout.ts";

/**
 * Makes sure that the data directory has its layout and a format that this rkt knows. When it has, this costs one stat
 * and one read. Several processes may do it at once. A caller who is not root makes what it may, and leaves the rest.
 *
 * A directory of rkt 1.x gets the layout and no format, and the result is true: its images are still to be taken over
 * (src/stage0/take-over.ts). Throws UNSUPPORTED for a newer format, PERMISSION when a part that root must own belongs
 * to somebody else, and for a directory of rkt 1.x that is not the caller's to take over.
 */
export function initDataDir(dataDir: DataDir, host: Host): boolean {
  if (isComplete(dataDir, host)) return false;
  const untaken = isUntaken(dataDir, host);
  if (untaken && !mayTakeOver(dataDir, host)) throw notTakenOver(dataDir);
  if (!makeRoot(dataDir, host)) return untaken;
  const root = openRoot(dataDir, host);
  try {
    waitForOthers(host, root);
    if (isComplete(dataDir, host)) return false;
    for (const [path, access] of layout(dataDir)) {
      if (untaken && access === "private") distrust(host, root, path);
      makeDirectory(host, root, path, access);
    }
    // Last: a format means that everything else is there.
    if (!untaken && readFormat(dataDir, host) !== DATA_DIR_FORMAT) permitted(() => writeFormat(dataDir, host));
    return untaken;
  } finally {
    closeSync(root); // gives the lock back
  }
}

/** Root, or whose directory it is. */
export function mayTakeOver(dataDir: DataDir, host: Host): boolean {
  return isRoot() || host.statat(AT_FDCWD, dataDir.root, 0).uid === geteuid();
}

function notTakenOver(dataDir: DataDir): RktError {
  return new RktError(
    "PERMISSION",
    `Cannot use data directory ${quoted(dataDir.root)}: rkt 1.x has written it, and it has not been taken over yet`,
    { hint: "run a command that looks at images once as root: rkt image list" },
  );
}

/**
 * Under rkt 1.x group rkt could write in `cas`: whoever is in it could put a directory of root's that they may write to
 * in the place of one that root believes. Such a one is moved away, and with it what is in it.
 */
function distrust(host: Host, root: number, path: string): void {
  try {
    const { uid, mode } = host.statat(root, path, AT.SYMLINK_NOFOLLOW);
    if (uid === geteuid() && (mode & 0o022) === 0 && (mode & S.IFMT) === S.IFDIR) return;
    host.renameat2(root, path, root, asideName(), 0);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
}

function isComplete(dataDir: DataDir, host: Host): boolean {
  if (readFormat(dataDir, host) !== DATA_DIR_FORMAT) return false;
  let cas: FileStatus;
  try {
    cas = host.statat(AT_FDCWD, dataDir.cas, AT.SYMLINK_NOFOLLOW);
    // What operators have removed to start afresh.
    for (const part of [dataDir.imageRecords, dataDir.refs, dataDir.blobs, dataDir.downloads])
      host.statat(AT_FDCWD, part, AT.SYMLINK_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    if (isErrno(error, "EACCES")) return true; // Not ours to mend.
    throw error;
  }
  return !isRoot() || (cas.uid === 0 && (cas.mode & 0o022) === 0 && (cas.mode & S.IFMT) === S.IFDIR);
}

/**
 * Creates the data directory where it is missing; false when the caller may not. An existing one keeps its mode: it may
 * be a directory of the operator's.
 */
function makeRoot(dataDir: DataDir, host: Host): boolean {
  try {
    mkdirSync(dirname(dataDir.root), { recursive: true });
    if (mkdirSync(dataDir.root, { recursive: true, mode: 0o700 }) === undefined) return true;
    const fd = host.openat(AT_FDCWD, dataDir.root, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
    setOwner(host, fd, ownerFor("read"));
    host.close(fd);
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM", "EROFS")) return false;
    if (isErrno(error, "EEXIST", "ENOTDIR"))
      throw new RktError("INVALID_INPUT", `Cannot use ${quoted(dataDir.root)} as data directory: it is no directory`);
    throw new RktError("SYSTEM_CALL", `Cannot make the data directory ${quoted(dataDir.root)}`, { cause: error });
  }
}

function openRoot(dataDir: DataDir, host: Host): number {
  try {
    return host.openat(AT_FDCWD, dataDir.root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  } catch (cause) {
    if (!isErrno(cause, "EACCES")) throw cause;
    throw new RktError("PERMISSION", `Cannot use data directory ${quoted(dataDir.root)}: permission denied`, {
      hint: "become root, or a member of the group rkt",
      cause,
    });
  }
}

/**
 * Ten first starts at once: one makes the layout, the others find it made. A lock that somebody keeps for ever must not
 * stop rkt, so the wait has an end.
 */
function waitForOthers(host: Host, root: number): void {
  for (let waited = 0; waited < 2000; waited += 5) {
    try {
      host.flock(root, LOCK.EX | LOCK.NB);
      return;
    } catch (error) {
      if (!isErrno(error, "EAGAIN", "EWOULDBLOCK")) throw error;
      Bun.sleepSync(5);
    }
  }
}
