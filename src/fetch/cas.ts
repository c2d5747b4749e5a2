/**
 * The worker's view of the store: blobs by digest, and unfinished downloads, in two directories that are handed over as descriptors. A blob appears by rename,
 * complete and checked, or not at all. While it comes in it is a part file, locked by whoever fills it: other fetches of the same content wait for the lock, find the
 * blob, and an interrupted download goes on where it stopped.
 */

import {
  chmodSync,
  closeSync,
  fstatSync,
  fsync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { DataDir } from "../core/data-dir.ts";
import type { Digest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { tryLock } from "../host/lock.ts";
import { isErrno, linux, O } from "../host/mod.ts";
import { pause } from "./transfer-error.ts";

/** Group members share the store; nobody else reads what may be private images. */
const FILE_MODE = 0o660;
const DIR_MODE = 0o2770;

export interface Cas {
  /** Path of the directory of blobs ("/proc/self/fd/3" in the worker, which cannot walk to it and needs nothing else of the store). */
  readonly blobs: string;
  /** Path of the directory of unfinished downloads. */
  readonly downloads: string;
}

/** A file that content is written to before it has a name in the store. */
export interface PartFile {
  readonly fd: number;
  readonly path: string;
}

/** Path of a blob. Layout and names are those of DataDir; only the root differs. */
export function blobPath(cas: Cas, digest: Digest): string {
  return cas.blobs + LAYOUT.blob(digest).slice(LAYOUT.blobs.length);
}

/** Size of the blob, or undefined when the store has none: a symbolic link or a directory in its place counts as none. */
export function blobSize(cas: Cas, digest: Digest): number | undefined {
  const status = lstatSync(blobPath(cas, digest), { throwIfNoEntry: false });
  return status?.isFile() === true ? status.size : undefined;
}

/** Opens a blob for reading. Throws ENOENT, or ELOOP for a symbolic link. */
export function openBlob(cas: Cas, digest: Digest): number {
  return openSync(blobPath(cas, digest), O.RDONLY | O.NOFOLLOW | O.CLOEXEC | O.NONBLOCK);
}

/**
 * Opens the part file `name` under its lock. Returns undefined as soon as `isDone` (asked before every try) says that nothing is left to do.
 * `onWait` is called once when another process holds the lock.
 */
export async function lockPart(
  cas: Cas,
  name: string,
  options: { isDone(): boolean; onWait(): void; signal: AbortSignal | undefined },
): Promise<PartFile | undefined> {
  const path = partPath(cas, name);
  for (let wait = 20; ; wait = Math.min(wait * 2, 500)) {
    if (options.isDone()) return undefined;
    const part = openLocked(path);
    if (part !== undefined) {
      if (!options.isDone()) return part;
      discardPart(part);
      return undefined;
    }
    if (wait === 20) options.onWait();
    // flock without waiting, and a pause: a call that blocks would stop the other downloads of this process.
    await pause(wait, options.signal);
  }
}

/** A part file of this process alone, for content whose digest is not known before its end. */
export function newPart(cas: Cas, prefix: string): PartFile {
  const path = partPath(cas, `${prefix}-${process.pid}-${crypto.randomUUID()}`);
  const fd = openForStore(path, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC);
  // Locked like any download, so that the collection of leftovers sees that somebody works on it.
  tryLock(linux, fd, "exclusive");
  return { fd, path };
}

/** Appends at `offset`. Throws SYSTEM_CALL with a hint when the disk is full. */
export function writePart(part: PartFile, chunk: Uint8Array, offset: number): void {
  try {
    for (let done = 0; done < chunk.length; ) {
      done += writeSync(part.fd, chunk, done, chunk.length - done, offset + done);
    }
  } catch (error) {
    throw storeError(error);
  }
}

export function partSize(part: PartFile): number {
  return fstatSync(part.fd).size;
}

export function truncatePart(part: PartFile, size: number): void {
  ftruncateSync(part.fd, size);
}

/** Gives the content its name in the store, after it is on the disk, and closes the part file. When that fails, the part file stays the caller's: open, and under its own name. */
export async function publishPart(cas: Cas, part: PartFile, digest: Digest): Promise<void> {
  try {
    await promisify(fsync)(part.fd);
    const path = blobPath(cas, digest);
    makeDirectories(cas, dirname(path));
    renameSync(part.path, path);
  } catch (error) {
    throw storeError(error);
  }
  closeSync(part.fd);
}

/** Closes the part file and leaves it for a later fetch. */
export function keepPart(part: PartFile): void {
  closeSync(part.fd);
}

/** Closes and removes the part file. */
export function discardPart(part: PartFile): void {
  removeFile(part.path);
  closeSync(part.fd);
}

/** Writes small content that is already checked. Returns at once when the store has it. */
export async function storeBytes(cas: Cas, digest: Digest, bytes: Uint8Array): Promise<void> {
  if (blobSize(cas, digest) === bytes.length) return;
  const part = newPart(cas, "small");
  try {
    writePart(part, bytes, 0);
    await publishPart(cas, part, digest);
  } catch (error) {
    discardPart(part);
    throw error;
  }
}

export function removeBlob(cas: Cas, digest: Digest): void {
  removeFile(blobPath(cas, digest));
}

/** The pieces of an open file from `start` on. Each piece is valid until the next but one is asked for. */
export function* readPieces(fd: number, start: number, length = Number.POSITIVE_INFINITY): Generator<Buffer> {
  const buffers = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
  for (let offset = start, turn = 0; offset < start + length; turn = (turn + 1) % buffers.length) {
    const buffer = buffers[turn] ?? Buffer.alloc(0);
    const size = readSync(fd, buffer, 0, Math.min(PIECE, start + length - offset), offset);
    if (size === 0) return;
    offset += size;
    yield buffer.subarray(0, size);
  }
}

const PIECE = 256 * 1024;

function openLocked(path: string): PartFile | undefined {
  const fd = openForStore(path, O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC | O.NONBLOCK);
  let keep = false;
  try {
    if (!tryLock(linux, fd, "exclusive")) return undefined;
    const status = fstatSync(fd);
    // The holder before us may have renamed or removed the file between our open and our lock.
    const named = lstatSync(path, { throwIfNoEntry: false });
    if (named?.ino !== status.ino || named.dev !== status.dev) return undefined;
    // A second name could be a file of ours that another member of the group wants overwritten.
    if (!status.isFile() || status.nlink !== 1) {
      throw new RktError("MALICIOUS", "Cannot use the part file of a download: it is not a plain file of its own");
    }
    keep = true;
    return { fd, path };
  } finally {
    if (!keep) closeSync(fd);
  }
}

function openForStore(path: string, flags: number): number {
  try {
    return openSync(path, flags, FILE_MODE);
  } catch (error) {
    throw storeError(error);
  }
}

function partPath(cas: Cas, name: string): string {
  return join(cas.downloads, name);
}

const LAYOUT = new DataDir("/");

function makeDirectories(cas: Cas, directory: string): void {
  if (directory === cas.blobs || lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  makeDirectories(cas, dirname(directory));
  try {
    mkdirSync(directory);
    // mkdir(2) obeys the umask, and drops the group bit that makes files inherit the store's group.
    chmodSync(directory, DIR_MODE);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw storeError(error);
  }
}

/** No error when there is none. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function storeError(error: unknown): unknown {
  if (isErrno(error, "ENOSPC", "EDQUOT")) {
    return new RktError("SYSTEM_CALL", "Cannot store the image: no space left in the data directory", {
      hint: "free some with `rkt gc` and `rkt image gc`; layers that are complete are kept",
      cause: error,
    });
  }
  if (isErrno(error, "EACCES", "EPERM", "EROFS")) {
    return new RktError("PERMISSION", "Cannot store the image: the store may not be written", {
      hint: isErrno(error, "EROFS")
        ? "its file system is mounted read-only: mount it writable, or name another directory with --dir"
        : "become root, or a member of the group rkt",
      cause: error,
    });
  }
  return error;
}

/** True for the error of a full disk that {@link writePart} throws. */
export function isFullDisk(error: unknown): boolean {
  return error instanceof RktError && isErrno(error.cause, "ENOSPC", "EDQUOT");
}
