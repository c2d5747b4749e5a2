/**
 * What an ordered list of layers shows at a path, by overlayfs' rules (Linux Documentation/filesystems/overlayfs.rst): the topmost entry wins, directories
 * merge, a whiteout (character device 0:0) hides, an opaque directory (`user.overlay.opaque`) hides what is below it. The unpacker asks before it
 * places an entry; the copy for --no-overlay asks for every name.
 *
 * Callers pass only paths whose directories they looked up here one by one, so none of them is a symbolic link; the layers do not change meanwhile.
 */

import { AT, type FileStatus, type Host, isDirectory, isErrno, S } from "../host/mod.ts";
import { type ByteString, toBytes } from "./tar/bytes.ts";

/** A layer that lies below. */
export interface Lower {
  /** Absolute path of its root. */
  readonly path: string;
  /** The same, opened. */
  readonly fd: number;
}

export interface Below {
  /** Layers that form the directory, topmost first; empty when the path is not a directory. */
  readonly directories: readonly number[];
  /** What is there: of a merged directory the topmost one. */
  readonly top: { readonly layer: number; readonly status: FileStatus } | undefined;
}

export const OPAQUE = "user.overlay.opaque";
const NOTHING: Below = { directories: [], top: undefined };

/** Looks up `path` in the layers `candidates` (indexes into `lowers`, topmost first: those that form its parent directory). */
export function lookBelow(
  host: Host,
  lowers: readonly Lower[],
  candidates: readonly number[],
  path: ByteString,
): Below {
  if (candidates.length === 0) return NOTHING;
  const bytes = toBytes(path);
  const directories: number[] = [];
  let top: Below["top"];
  for (const [position, layer] of candidates.entries()) {
    const lower = lowers[layer];
    if (lower === undefined) continue;
    const status = statusOf(host, lower.fd, bytes);
    if (status === undefined) continue;
    if (isWhiteout(status)) break;
    top ??= { layer, status };
    // Anything but a directory is either what is shown, or hides what is below it from a directory above.
    if (!isDirectory(status)) break;
    directories.push(layer);
    if (position + 1 < candidates.length && isOpaque(host, pathIn(lower, bytes))) break;
  }
  return { directories, top };
}

export function isWhiteout(status: FileStatus): boolean {
  return (status.mode & S.IFMT) === S.IFCHR && status.rdev === 0;
}

/** Whether the directory at `path` is marked to hide what is below it. */
export function isOpaque(host: Host, path: Buffer): boolean {
  return (
    host.llistxattr(path).some((name) => name.toString("latin1") === OPAQUE) &&
    host.lgetxattr(path, OPAQUE).toString("latin1") === "y"
  );
}

/** The status of `path` itself, undefined when nothing is there. */
export function statusOf(host: Host, dirfd: number, path: Uint8Array): FileStatus | undefined {
  try {
    return host.statat(dirfd, path, path.length === 0 ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Absolute path of `path` in a layer. */
export function pathIn(lower: Lower, path: Uint8Array): Buffer {
  return path.length === 0 ? Buffer.from(lower.path) : Buffer.concat([Buffer.from(`${lower.path}/`), path]);
}
