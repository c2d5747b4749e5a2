/**
 * The data directory's layout: who may write where (docs/on-disk-format.md has the same table).
 *
 * Group rkt may fetch and remove images, so it writes to the parts of `cas` that hold images. `cas` itself and
 * everything that root believes or runs belongs to root alone: whoever may rename in `cas` could put a directory of
 * their own in the place of `cas/verified`. (rkt 1.x had `cas` group-writable.)
 */

import { relative } from "node:path";
import { type DataDir, POD_STATE_DIRS } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { rktGroup, workerAccount } from "../host/accounts.ts";
import { AT, type Host, isErrno, O, statOf } from "../host/mod.ts";

/** Who may do what in a directory: root writes and group rkt reads; both write; root alone. */
export type Access = "read" | "write" | "private";

interface Owner {
  uid: number;
  gid: number;
  mode: number;
}

/** Every directory below the root, parents first. */
export function layout(dataDir: DataDir): [path: string, access: Access][] {
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

/**
 * Makes one directory, or mends one that a killed process left half made. Made closed and opened afterwards, so that
 * nobody gets in between.
 */
export function makeDirectory(host: Host, root: number, path: string, access: Access): void {
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

export function ownerFor(access: Access): Owner {
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
export function setOwner(host: Host, fd: number, owner: Owner): void {
  if (isRoot()) host.fchownat(fd, "", owner.uid, owner.gid, AT.EMPTY_PATH);
  host.fchmod(fd, owner.mode);
}

/** Runs `action`; what the caller may not do is left as it is, unless the caller is root. */
export function permitted(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (isRoot() || !isErrno(error, "EACCES", "EPERM", "EROFS", "ENOENT")) throw error;
  }
}

export function geteuid(): number {
  return process.geteuid?.() ?? 0;
}

export function isRoot(): boolean {
  return geteuid() === 0;
}

/** Where a directory of somebody else's is moved to: from there `image gc` removes it. */
export function asideName(): string {
  return `tmp/rkt-image-foreign-${crypto.randomUUID()}`;
}
