/** What one header, with the extended headers before it, says of a file. Pure. */

import type { Timestamp } from "../../host/host.ts";
import { type ByteString, shown } from "./bytes.ts";
import type { Extended, Xattr } from "./extended.ts";
import { malformed, type RawHeader } from "./header.ts";

export type EntryType = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

export interface TarEntry {
  name: ByteString;
  type: EntryType;
  /** Permission bits, setuid and friends included. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of the file, holes included; 0 for anything but a file. */
  size: number;
  mtime: Timestamp;
  /** Target of a symbolic or hard link. */
  link: ByteString;
  major: number;
  minor: number;
  xattrs: Xattr[];
  /** True when the file has holes: `data` comes with gaps. */
  sparse: boolean;
}

/** PATH_MAX counts the final NUL; a longer name could not be created in one call, and no writer in use makes one. */
export const LONGEST_NAME = 4095;
/** (uid_t) -1 means "leave as it is" to chown(2). */
const LARGEST_ID = 0xfffffffe;

/** `size` is 0, for the reader to set. Throws INVALID_INPUT. */
export function toEntry(raw: RawHeader, about: Extended): TarEntry {
  const name = about.sparse.name ?? about.path ?? raw.name;
  const link = about.link ?? raw.link;
  const type = entryType(raw.type, name);
  for (const text of [name, link]) {
    if (text.length > LONGEST_NAME) {
      throw malformed(`a name has ${text.length} bytes, expected at most ${LONGEST_NAME}: ${shown(text.slice(0, 60))}`);
    }
    // The kernel ends a name at NUL, so the name that was checked would not be the one that is created.
    if (text.includes("\0")) throw malformed(`a name has a NUL byte: ${shown(text)}`);
  }
  const uid = about.uid ?? raw.uid;
  const gid = about.gid ?? raw.gid;
  if (uid < 0 || uid > LARGEST_ID || gid < 0 || gid > LARGEST_ID) {
    throw malformed(`${shown(name)} has an owner that no system has (${uid}:${gid})`);
  }
  return {
    name,
    type,
    mode: raw.mode,
    uid,
    gid,
    size: 0,
    mtime: about.mtime ?? { seconds: raw.mtime, nanoseconds: 0 },
    link: type === "symlink" || type === "hardlink" ? link : "",
    major: raw.major,
    minor: raw.minor,
    xattrs: [...about.xattrs].map(([key, value]) => ({ name: key, value })),
    sparse: false,
  };
}

function entryType(type: string, name: ByteString): EntryType {
  switch (type) {
    case "0":
    case "7":
      // Before POSIX a directory was a file whose name ended in a slash.
      return name.endsWith("/") ? "directory" : "file";
    case "S":
      return "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
      return "directory";
    case "6":
      return "fifo";
  }
  throw malformed(`${shown(name)} is of a type that is not known (${shown(type)})`);
}
