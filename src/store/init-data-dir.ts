/**
 * The data directory's layout: who may write where (docs/on-disk-format.md has the same table).
 *
 * Group rkt may fetch and remove images, so it writes to the parts of `cas` that hold images. `cas` itself and everything that root believes or runs belongs to
 * root alone: whoever may rename in `cas` could put a directory of their own in the place of `cas/verified`. (rkt 1.x had `cas` group-writable.)
 */

import { closeSync, mkdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { DATA_DIR_FORMAT, type DataDir, POD_STATE_DIRS } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { rktGroup, workerAccount } from "../host/accounts.ts";
import { readFileBeneath, replaceFileBeneath } from "../host/beneath.ts";
import { AT, AT_FDCWD, type FileStatus, type Host, isErrno, LOCK, O, S, statOf } from "../host/mod.ts";

/** Who may do what in a directory: root writes and group rkt reads; both write; root alone. */
type Access = "read" | "write" | "private";

interface Owner {
  uid: number;
  gid: number;
  mode: number;
}

const FORMAT_LIMIT = 64;

/**
 * Makes sure that the data directory has its layout and a format that this rkt knows. When it has, this costs one stat and one read. Several processes may do it
 * at once. A caller who is not root makes what it may, and leaves the rest.
 *
 * A directory of rkt 1.x gets the layout and no format, and the result is true: its images are still to be taken over (src/stage0/take-over.ts). Throws UNSUPPORTED for a newer format, PERMISSION when a part
 * that root must own belongs to somebody else, and for a directory of rkt 1.x that is not the caller's to take over.
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

export function writeFormat(dataDir: DataDir, host: Host): void {
  replaceFileBeneath(host, dataDir.root, "format", `${DATA_DIR_FORMAT}\n`, 0o644);
}

/** rkt 1.x has written this directory, and nobody has taken it over yet. */
export function isUntaken(dataDir: DataDir, host: Host): boolean {
  return hasRkt1Store(dataDir, host) && readFormat(dataDir, host) === undefined;
}

function hasRkt1Store(dataDir: DataDir, host: Host): boolean {
  return [dataDir.rkt1Database, dataDir.rkt1Manifests].some((path) => {
    try {
      return (host.statat(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW).mode & S.IFMT) === S.IFDIR;
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return false;
      throw error;
    }
  });
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
 * Under rkt 1.x group rkt could write in `cas`: whoever is in it could put a directory of root's that they may write to in the place of one that root believes. Such a one is moved away,
 * and with it what is in it.
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

/** From there `image gc` removes it. */
function asideName(): string {
  return `tmp/rkt-image-foreign-${crypto.randomUUID()}`;
}

/**
 * What is wrong with the layout: directories that are missing, or whose owner or mode is another than it should be. For root. A directory that root must own and somebody else does is
 * not taken over with what is in it: that could be anything. It is moved to `tmp`, from where `image gc` removes it.
 */
export function layoutProblems(dataDir: DataDir, host: Host): Problem[] {
  const problems: Problem[] = [...formatProblems(dataDir, host)];
  for (const [path, access] of layout(dataDir)) {
    const absolute = join(dataDir.root, path);
    const wrong = directoryFault(host, absolute, access);
    if (wrong === undefined) continue;
    problems.push({
      severity: "damage",
      kind: wrong.kind,
      path: absolute,
      message: `directory ${quoted(absolute)} ${wrong.text}`,
      mend: () => mendDirectory(dataDir, host, path, access, wrong.kind),
    });
  }
  return problems;
}

function* formatProblems(dataDir: DataDir, host: Host): Generator<Problem> {
  let fault: string | undefined;
  try {
    if (readFormat(dataDir, host) === undefined) fault = "is missing";
  } catch (error) {
    if (!(error instanceof RktError) || error.code !== "INVALID_INPUT") throw error;
    fault = "holds no number";
  }
  // rkt 1.x had none.
  if (fault === undefined || isUntaken(dataDir, host)) return;
  const mend = (): string => {
    writeFormat(dataDir, host);
    return `wrote format ${DATA_DIR_FORMAT}`;
  };
  const message = `${quoted(dataDir.format)} ${fault}`;
  yield { severity: "damage", kind: "broken-format", path: dataDir.format, message, mend };
}

function directoryFault(
  host: Host,
  path: string,
  access: Access,
): { kind: "missing-directory" | "foreign-directory" | "wrong-mode"; text: string } | undefined {
  let status: FileStatus;
  try {
    status = host.statat(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    return { kind: "missing-directory", text: "is missing" };
  }
  if ((status.mode & S.IFMT) !== S.IFDIR) return { kind: "foreign-directory", text: "is no directory" };
  const owner = ownerFor(access);
  const mode = status.mode & 0o7777;
  if (access !== "write" && status.uid !== owner.uid)
    return { kind: "foreign-directory", text: `belongs to user ${status.uid}, expected ${owner.uid}` };
  if (status.gid === owner.gid && mode === owner.mode && status.uid === owner.uid) return undefined;
  const text = (uid: number, gid: number, bits: number) => `${uid}:${gid} ${bits.toString(8)}`;
  const [has, wants] = [text(status.uid, status.gid, mode), text(owner.uid, owner.gid, owner.mode)];
  return { kind: "wrong-mode", text: `has owner and mode ${has}, expected ${wants}` };
}

function mendDirectory(dataDir: DataDir, host: Host, path: string, access: Access, kind: string): string {
  const root = host.openat(AT_FDCWD, dataDir.root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    let moved = "";
    if (kind === "foreign-directory") {
      if (access === "read")
        throw new RktError("WRONG_STATE", `Cannot mend ${quoted(path)}: move it away, and start rkt again`);
      const aside = asideName();
      host.renameat2(root, path, root, aside, 0);
      moved = `moved what was there to ${quoted(join(dataDir.root, aside))}; `;
    }
    makeDirectory(host, root, path, access);
    return `${moved}${kind === "wrong-mode" ? "set owner and mode" : "made it"}`;
  } finally {
    host.close(root);
  }
}

/** Every directory below the root, parents first. */
function layout(dataDir: DataDir): [path: string, access: Access][] {
  const shared: string[] = [
    dataDir.tmp,
    dataDir.locks,
    dataDir.cas,
    dataDir.pods,
    ...POD_STATE_DIRS.map((state) => dataDir.podsIn(state)),
  ];
  const written = [dataDir.blobs, dataDir.imageRecords, dataDir.refs, dataDir.downloads, dataDir.imageLocks];
  const rootOnly = [
    dataDir.verified,
    dataDir.verifiedRefs,
    dataDir.layers,
    dataDir.layerLinks,
    dataDir.layerLocks,
    dataDir.trees,
  ];
  const entry =
    (access: Access) =>
    (path: string): [string, Access] => [relative(dataDir.root, path), access];
  return [...shared.map(entry("read")), ...written.map(entry("write")), ...rootOnly.map(entry("private"))];
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

/** The number in `format`; undefined without one. Throws UNSUPPORTED when it is newer than ours, INVALID_INPUT when it is no number. */
function readFormat(dataDir: DataDir, host: Host): number | undefined {
  let text: string | undefined;
  try {
    text = readFileBeneath(host, dataDir.root, "format", FORMAT_LIMIT)?.toString("latin1").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return undefined;
    throw error;
  }
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,6}$/.test(text)) {
    throw new RktError("INVALID_INPUT", `Cannot read ${quoted(dataDir.format)}: ${quoted(text)}, expected a number`, {
      hint: "rkt fsck --repair writes it again",
    });
  }
  if (Number(text) > DATA_DIR_FORMAT) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use data directory ${quoted(dataDir.root)}: its format is ${text}, expected ${DATA_DIR_FORMAT} or older`,
      { hint: "a newer rkt has written it: use that one, or another --dir" },
    );
  }
  return Number(text);
}

/** Creates the data directory where it is missing; false when the caller may not. An existing one keeps its mode: it may be a directory of the operator's. */
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

/** Ten first starts at once: one makes the layout, the others find it made. A lock that somebody keeps for ever must not stop rkt, so the wait has an end. */
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

/** Makes one directory, or mends one that a killed process left half made. Made closed and opened afterwards, so that nobody gets in between. */
function makeDirectory(host: Host, root: number, path: string, access: Access): void {
  permitted(() => {
    try {
      host.mkdirat(root, path, 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    const fd = host.openat(root, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
    try {
      const status = statOf(fd);
      if (isRoot() && access !== "write" && status.uid !== 0) {
        throw new RktError(
          "PERMISSION",
          `Cannot use ${quoted(path)} in the data directory: it belongs to user ${status.uid}, expected root`,
        );
      }
      const owner = ownerFor(access);
      const same = status.uid === owner.uid && status.gid === owner.gid && (status.mode & 0o7777) === owner.mode;
      if (!same && (isRoot() || status.uid === owner.uid)) setOwner(host, fd, owner);
    } finally {
      host.close(fd);
    }
  });
}

function ownerFor(access: Access): Owner {
  if (!isRoot()) return { uid: geteuid(), gid: process.getegid?.() ?? 0, mode: access === "private" ? 0o700 : 0o2750 };
  if (access === "private") return { uid: 0, gid: 0, mode: 0o700 };
  const group = rktGroup();
  if (access === "read") return { uid: 0, gid: group ?? 0, mode: 0o2750 };
  if (group !== undefined) return { uid: 0, gid: group, mode: 0o2770 };
  // A source tree that was never installed: the worker of root still writes without being root.
  const worker = workerAccount("rkt-fetch");
  return { uid: worker.uid, gid: worker.gid, mode: 0o2770 };
}

/** chown(2) clears the set-group-id bit, so the mode comes second. */
function setOwner(host: Host, fd: number, owner: Owner): void {
  if (isRoot()) host.fchownat(fd, "", owner.uid, owner.gid, AT.EMPTY_PATH);
  host.fchmod(fd, owner.mode);
}

/** Runs `action`; what the caller may not do is left as it is, unless the caller is root. */
function permitted(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (isRoot() || !isErrno(error, "EACCES", "EPERM", "EROFS", "ENOENT")) throw error;
  }
}

function geteuid(): number {
  return process.geteuid?.() ?? 0;
}

function isRoot(): boolean {
  return geteuid() === 0;
}
