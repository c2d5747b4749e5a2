/** What extended headers say about the next entry (or, global ones, about all that follow), gathered from GNU and pax forms into one value. */

import type { Timestamp } from "../../host/host.ts";
import { type ByteString, fromBytes } from "./bytes.ts";
import { malformed, type RawHeader } from "./header.ts";
import { type PaxRecord, paxNumber, paxTime } from "./pax.ts";
import { addSegment, commaMap, type Segment } from "./sparse.ts";

export interface Xattr {
  name: ByteString;
  value: Buffer;
}

export interface Extended {
  path?: ByteString;
  link?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: Timestamp;
  xattrs: Map<ByteString, Buffer>;
  sparse: SparseRecords;
}

interface SparseRecords {
  name?: ByteString;
  realSize?: number;
  major?: number;
  minor?: number;
  /** Versions 0.0 and 0.1. */
  map?: Segment[];
  /** Version 0.0: the offset that waits for its length. */
  pendingOffset?: number;
}

const XATTR = "SCHILY.xattr.";
/** More names than any file system keeps for a file. */
const MOST_XATTRS = 4096;

export function nothingExtended(): Extended {
  return { xattrs: new Map(), sparse: {} };
}

/** A fresh copy of what global headers said. */
export function startFrom(globals: Extended): Extended {
  return { ...globals, xattrs: new Map(globals.xattrs), sparse: {} };
}

/** Adds the records in order. An empty value takes an earlier (global) one back. Throws INVALID_INPUT. */
export function applyPaxRecords(extended: Extended, records: readonly PaxRecord[]): void {
  for (const { key, value } of records) {
    if (key.startsWith(XATTR)) applyXattr(extended, key.slice(XATTR.length), value);
    else if (key.startsWith("GNU.sparse."))
      applySparse(extended.sparse, key.slice("GNU.sparse.".length), fromBytes(value));
    else applyPlain(extended, key, fromBytes(value));
  }
}

function applyXattr(extended: Extended, name: ByteString, value: Buffer): void {
  if (name === "" || name.includes("\0")) throw malformed("the name of an extended attribute is malformed");
  if (extended.xattrs.size >= MOST_XATTRS) throw malformed("an entry has too many extended attributes");
  extended.xattrs.set(name, value);
}

function applyPlain(extended: Extended, key: ByteString, value: ByteString): void {
  const gone = value === "";
  if (key === "path") setOrDelete(extended, "path", gone ? undefined : value);
  else if (key === "linkpath") setOrDelete(extended, "link", gone ? undefined : value);
  else if (key === "mtime") setOrDelete(extended, "mtime", gone ? undefined : paxTime(value));
  else if (key === "size" || key === "uid" || key === "gid") {
    setOrDelete(extended, key, gone ? undefined : paxNumber(value, key));
  }
}

function setOrDelete<K extends "path" | "link" | "size" | "uid" | "gid" | "mtime">(
  extended: Extended,
  key: K,
  value: Extended[K] | undefined,
): void {
  if (value === undefined) delete extended[key];
  else extended[key] = value;
}

function applySparse(sparse: SparseRecords, key: string, value: ByteString): void {
  switch (key) {
    case "name":
      sparse.name = value;
      return;
    case "size":
    case "realsize":
      sparse.realSize = paxNumber(value, `GNU.sparse.${key}`);
      return;
    case "major":
      sparse.major = paxNumber(value, "GNU.sparse.major");
      return;
    case "minor":
      sparse.minor = paxNumber(value, "GNU.sparse.minor");
      return;
    case "map":
      sparse.map = commaMap(value);
      return;
    case "offset":
      sparse.pendingOffset = paxNumber(value, "GNU.sparse.offset");
      return;
    case "numbytes":
      if (sparse.pendingOffset === undefined) throw malformed("a sparse map has a length without an offset");
      sparse.map ??= [];
      addSegment(sparse.map, sparse.pendingOffset, paxNumber(value, "GNU.sparse.numbytes"));
      delete sparse.pendingOffset;
  }
}

/** How the data of an entry is laid out: plain, with a map known by now, or with a map that stands before the data. */
export function sparseKind(extended: Extended, header: RawHeader): "plain" | "old-gnu" | "mapped" | "map-in-data" {
  if (header.type === "S") return "old-gnu";
  const { major, minor, map } = extended.sparse;
  if (major !== undefined) {
    if (major === 1 && minor === 0) return "map-in-data";
    if (major !== 0) throw malformed(`sparse files of version ${major}.${minor ?? 0} are not known`);
  }
  return map === undefined ? "plain" : "mapped";
}
