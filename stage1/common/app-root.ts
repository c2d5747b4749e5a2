/**
 * Files inside an app's root, which an image controls. Every path is resolved by openat2(2) with RESOLVE_IN_ROOT: a symbolic link, absolute or with "..", ends
 * inside the root, so no image can make root read or write a file of the host.
 */

import { constants, fstatSync, readSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { AT_FDCWD, O, RESOLVE, S } from "../../src/host/constants.ts";
import { isErrno } from "../../src/host/errno.ts";
import type { FileStatus, Host } from "../../src/host/host.ts";

const IN_ROOT = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;

/** Files that rkt reads from an image (passwd, group, headers of programs) are small; more is somebody's attempt to fill root's memory. */
const LARGEST_FILE = 4 * 1024 * 1024;

export interface AppRoot {
  /** The status of what `path` names, links followed inside the root; undefined when it does not exist. */
  stat(path: string): FileStatus | undefined;
  /** True when something (a dangling link, too) has this name. */
  exists(path: string): boolean;
  /** A regular file's text, at most `limit` bytes of it; undefined when there is none. */
  read(path: string, limit?: number): string | undefined;
  /** Makes a directory and those above it where they are missing; what exists keeps its mode. */
  ensureDirectory(path: string, mode?: number): void;
  /** Makes an empty file (and the directories above it) to mount on, where nothing is; a dangling link is replaced. */
  ensureFile(path: string): void;
  /** Writes a new file; what is there is replaced, links are not followed. */
  write(path: string, content: string, mode: number): void;
  /** Makes a link unless something has the name. */
  ensureLink(path: string, target: string): void;
  /** A descriptor (O_PATH) of what `path` names, for mounting on it. The caller closes it. Throws SystemCallError. */
  open(path: string): number;
  close(): void;
}

/** Opens the root at `directory` (trusted, made by rkt). The descriptor is close-on-exec. */
export function openAppRoot(host: Host, directory: string): AppRoot {
  const root = host.openat(AT_FDCWD, directory, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
  const open = (path: string, flags: number): number =>
    host.openat2(root, path, flags | O.CLOEXEC | O.NOCTTY, 0, IN_ROOT);

  function tryOpen(path: string, flags: number): number | undefined {
    try {
      return open(path, flags);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  function stat(path: string): FileStatus | undefined {
    const fd = tryOpen(path, O.PATH);
    if (fd === undefined) return undefined;
    try {
      return host.statat(fd, "", 0x1000);
    } finally {
      host.close(fd);
    }
  }

  function inParent<T>(path: string, action: (parent: number, name: string) => T): T {
    const parent = open(dirname(clean(path)), O.PATH | O.DIRECTORY);
    try {
      return action(parent, basename(path));
    } finally {
      host.close(parent);
    }
  }

  function exists(path: string): boolean {
    const fd = tryOpen(path, O.PATH | O.NOFOLLOW);
    if (fd === undefined) return false;
    host.close(fd);
    return true;
  }

  function read(path: string, limit = LARGEST_FILE): string | undefined {
    // NONBLOCK: opening a FIFO that an image put there must not hang.
    const fd = tryOpen(path, O.RDONLY | O.NONBLOCK);
    if (fd === undefined) return undefined;
    try {
      if (!fstatSync(fd).isFile()) return undefined;
      const buffer = Buffer.alloc(Math.min(limit, Math.max(fstatSync(fd).size, 1)));
      return buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, 0));
    } finally {
      host.close(fd);
    }
  }

  function ensureDirectory(path: string, mode = 0o755): void {
    const parts = clean(path).split("/").filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const part = `/${parts.slice(0, depth).join("/")}`;
      const there = stat(part);
      if (there !== undefined) {
        if ((there.mode & S.IFMT) === S.IFDIR) continue;
        throw new RktError("INVALID_INPUT", `Cannot make directory ${quoted(path)} in the image: ${quoted(part)} is a file`);
      }
      inParent(part, (parent, name) => {
        if (exists(part)) host.unlinkat(parent, name, 0); // a link to nowhere
        host.mkdirat(parent, name, 0o755);
        if (depth === parts.length && mode !== 0o755) chmodAt(host, parent, name, mode);
      });
    }
  }

  function write(path: string, content: string, mode: number): void {
    ensureDirectory(dirname(clean(path)));
    inParent(path, (parent, name) => {
      if (exists(path)) host.unlinkat(parent, name, 0);
      const fd = host.openat(parent, name, constants.O_WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0o600);
      try {
        const bytes = Buffer.from(content);
        for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
        host.fchmod(fd, mode);
      } finally {
        host.close(fd);
      }
    });
  }

  function ensureLink(path: string, target: string): void {
    ensureDirectory(dirname(clean(path)));
    if (!exists(path)) inParent(path, (parent, name) => host.symlinkat(target, parent, name));
  }

  return {
    stat,
    exists,
    read,
    ensureDirectory,
    ensureFile: (path) => {
      if (stat(path) === undefined) write(path, "", 0o644);
    },
    write,
    ensureLink,
    open: (path) => open(path, O.PATH),
    close: () => host.close(root),
  };
}

/** Absolute, without "." and ".." (which RESOLVE_IN_ROOT would clamp as well). */
function clean(path: string): string {
  return join("/", path).replace(/(?<=.)\/+$/, "");
}

function chmodAt(host: Host, parent: number, name: string, mode: number): void {
  const fd = host.openat(parent, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    host.fchmod(fd, mode);
  } finally {
    host.close(fd);
  }
}
