/** Giving a tree another SELinux label: what a volume's `relabel=` asks for, and what a copied image needs. */

import { readdirSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { AT, AT_FDCWD, O, RESOLVE, S } from "./constants.ts";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";

const LABEL = "security.selinux";

/**
 * Labels `path` (a link there is followed: it is the operator's) and everything below it. Entries are named in open directories, and no link among them is followed, so
 * that nobody who can write in the tree has something else labelled; what is mounted below stays as it is. Throws UNSUPPORTED for a file system that has no labels,
 * NOT_FOUND, INVALID_INPUT for a label that the policy does not know.
 */
export function relabelTree(host: Host, path: string, context: string): void {
  const value = Buffer.from(`${context}\0`);
  const set = (name: string | Buffer) => {
    try {
      host.lsetxattr(name, LABEL, value);
    } catch (cause) {
      throw labelError(cause, path, context);
    }
  };
  const root = openRoot(host, path);
  try {
    const { mode } = host.statat(root, "", AT.EMPTY_PATH);
    if ((mode & S.IFMT) !== S.IFDIR) {
      if ((mode & S.IFMT) !== S.IFREG)
        throw new RktError("UNSUPPORTED", `Cannot relabel ${quoted(path)}: it is neither a directory nor a file`);
      labelFile(host, path, value, context);
      return;
    }
    labelBelow(host, root, set);
    // Last: a tree whose own directory has the label has it everywhere. The link in /proc is no file of the tree; what "." names behind it is.
    set(`/proc/self/fd/${root}/.`);
  } finally {
    host.close(root);
  }
}

/** The label of `path` itself; undefined where it has none. */
export function labelOf(host: Host, path: string): string | undefined {
  try {
    return host.lgetxattr(path, LABEL).toString("latin1").replace(/\0$/, "");
  } catch (error) {
    if (isErrno(error, "ENODATA", "EOPNOTSUPP", "ENOTSUP")) return undefined;
    throw error;
  }
}

function openRoot(host: Host, path: string): number {
  try {
    return host.openat(AT_FDCWD, path, O.PATH | O.CLOEXEC, 0);
  } catch (cause) {
    throw isErrno(cause, "ENOENT", "ENOTDIR")
      ? new RktError("NOT_FOUND", `Cannot relabel ${quoted(path)}: no such file or directory`, { cause })
      : cause;
  }
}

function labelFile(host: Host, path: string, value: Uint8Array, context: string): void {
  const fd = host.openat(AT_FDCWD, path, O.RDONLY | O.NONBLOCK | O.CLOEXEC, 0);
  try {
    host.fsetxattr(fd, LABEL, value);
  } catch (cause) {
    throw labelError(cause, path, context);
  } finally {
    host.close(fd);
  }
}

function labelBelow(host: Host, directory: number, set: (name: Buffer) => void): void {
  const place = `/proc/self/fd/${directory}`;
  for (const name of readdirSync(place, { encoding: "buffer" })) {
    const child = openChild(host, directory, name);
    if (child === undefined) continue;
    try {
      set(Buffer.concat([Buffer.from(`${place}/`), name]));
      if ((host.statat(child, "", AT.EMPTY_PATH).mode & S.IFMT) === S.IFDIR) labelBelow(host, child, set);
    } finally {
      host.close(child);
    }
  }
}

/** Undefined for what is gone by now, and for a mount: by its device alone, one of the same file system (a bind mount) would not be told from the tree. */
function openChild(host: Host, directory: number, name: Buffer): number | undefined {
  try {
    return host.openat2(directory, name, O.PATH | O.NOFOLLOW | O.CLOEXEC, 0, RESOLVE.NO_XDEV);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EXDEV")) return undefined;
    throw error;
  }
}

function labelError(cause: unknown, path: string, context: string): unknown {
  if (isErrno(cause, "EOPNOTSUPP", "ENOTSUP"))
    return new RktError("UNSUPPORTED", `Cannot relabel ${quoted(path)}: its file system does not keep SELinux labels`, {
      cause,
      hint: 'leave "relabel" out, and mount the file system with a context= that pods may use',
    });
  if (isErrno(cause, "EINVAL"))
    return new RktError(
      "INVALID_INPUT",
      `Cannot relabel ${quoted(path)}: the policy does not know ${quoted(context)}`,
      { cause },
    );
  return cause;
}
