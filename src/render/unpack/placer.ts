/** The sink that a tar reader fills a layer through: each entry is placed, gets its data, and then what data changes. */

import { createHash, type Hash } from "node:crypto";
import { ftruncateSync, writeSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { AT, isErrno, SystemCallError } from "../../host/mod.ts";
import { setAttributes, setTimes } from "../attributes.ts";
import { shown } from "../tar/bytes.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarSink } from "../tar/reader.ts";
import type { DeviceList } from "./devices.ts";
import { type Naming, placeEntry, splitName } from "./place.ts";
import type { Walk } from "./walk.ts";

export interface Placed {
  /** Bytes of file content. */
  size: number;
  entries: number;
}

/**
 * The sink that fills `walk`'s layer. `devices` gathers the nodes that root makes afterwards. Its calls throw
 * MALICIOUS, INVALID_INPUT or SystemCallError.
 */
export function placer(walk: Walk, naming: Naming, devices: DeviceList): TarSink & { readonly placed: Placed } {
  const placed: Placed = { size: 0, entries: 0 };
  let current: TarEntry | undefined;
  let file = -1;
  let content: Hash | undefined;
  let elsewhere: ((bytes: Buffer) => void) | undefined;

  function entry(next: TarEntry): void {
    current = next;
    placed.entries += 1;
    about(next, () => {
      const components = splitName(next.name, next);
      const place = naming.place(components, next);
      if (place === undefined) elsewhere = naming.elsewhere(components, next);
      else file = placeEntry(walk, naming, devices, next, place);
      // The holes of a sparse file are not among its data: such a file is read again for the digest.
      if (file >= 0 && !next.sparse) content = createHash("sha256");
    });
  }

  function data(bytes: Buffer, offset: number): void {
    if (elsewhere !== undefined) elsewhere(bytes);
    if (file < 0) return;
    placed.size += bytes.length;
    content?.update(bytes);
    about(current, () => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(file, bytes, done, bytes.length - done, current?.sparse === true ? offset + done : null);
      }
    });
  }

  function end(): void {
    elsewhere = undefined;
    if (file < 0) return;
    const [fd, hash] = [file, content];
    file = -1;
    content = undefined;
    about(current, () => {
      // A hole at the end has no data that would have made the file so long.
      if (current?.sparse === true) ftruncateSync(fd, current.size);
      if (current !== undefined) finishFile(walk, fd, current, hash);
      walk.host.close(fd);
    });
  }

  return { entry, data, end, placed };
}

/**
 * Owner, mode, attributes and times, as far as they are not what they should be already: every call counts when there
 * are ten thousand files.
 */
function finishFile({ host, contents }: Walk, fd: number, entry: TarEntry, hash: Hash | undefined): void {
  const { ino, uid, gid, mode } = host.statat(fd, "", AT.EMPTY_PATH);
  if (uid === entry.uid && gid === entry.gid && (mode & 0o7777) === entry.mode && entry.xattrs.length === 0) {
    setTimes(host, fd, entry.mtime);
  } else {
    setAttributes(host, fd, entry);
  }
  // By inode number, since the file may get other names; the number may have been that of a file which is gone.
  if (hash === undefined) contents.delete(ino);
  else contents.set(ino, { sha256: hash.digest("hex"), plain: entry.xattrs.length === 0 });
}

/** Names the entry in whatever goes wrong with it. */
function about(entry: TarEntry | undefined, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (entry === undefined || (error instanceof RktError && !(error instanceof SystemCallError))) throw error;
    // The kernel's "no" to a name is the archive's fault; a full disk is not.
    const code = isErrno(error, "ENAMETOOLONG", "EINVAL", "ELOOP", "EILSEQ", "EFBIG") ? "INVALID_INPUT" : "SYSTEM_CALL";
    const reason = error instanceof Error ? error.message : String(error);
    throw new RktError(code, `Cannot unpack entry ${shown(entry.name)}: ${reason}`, { cause: error });
  }
}
