/**
 * One 512-byte tar header (POSIX.1-1988 "ustar", and what GNU tar and star make of it). Numbers are octal text or, with the first bit set, base-256
 * two's complement (GNU tar manual, "Extensions to the Archive Format").
 */

import { RktError } from "../../core/errors.ts";
import type { ByteString } from "./bytes.ts";

export const BLOCK = 512;

export interface RawHeader {
  name: ByteString;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  /** The type character; "\0" (before POSIX) is given as "0". */
  type: string;
  link: ByteString;
  major: number;
  minor: number;
  /** "gnu" headers keep other things where POSIX has the prefix. */
  flavor: "v7" | "ustar" | "gnu";
}

/** Parses a header block. Throws INVALID_INPUT when the checksum or a number is wrong. */
export function parseHeader(block: Buffer): RawHeader {
  checkSum(block);
  const flavor = flavorOf(block);
  const name = text(block, 0, 100);
  const prefix = flavor === "ustar" ? text(block, 345, isStar(block) ? 131 : 155) : "";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "owner"),
    gid: number(block, 116, 8, "group"),
    size: number(block, 124, 12, "size"),
    mtime: number(block, 136, 12, "time"),
    type: block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0),
    link: text(block, 157, 100),
    major: flavor === "v7" ? 0 : number(block, 329, 8, "device number"),
    minor: flavor === "v7" ? 0 : number(block, 337, 8, "device number"),
    flavor,
  };
}

export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(ZERO);
}

const ZERO = Buffer.alloc(BLOCK);

/** The sum of all bytes with the checksum field taken as spaces. Some old tars summed signed characters; both are accepted, as by GNU tar. */
function checkSum(block: Buffer): void {
  const stored = number(block, 148, 8, "checksum");
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let index = 0; index < BLOCK; index += 1) {
    if (index === 148) index += 8;
    const byte = block[index] ?? 0;
    unsigned += byte;
    if (byte > 127) high += 256;
  }
  if (stored !== unsigned && stored !== unsigned - high) throw malformed("a header's checksum is wrong");
}

function flavorOf(block: Buffer): RawHeader["flavor"] {
  const magic = block.toString("latin1", 257, 265);
  if (magic === "ustar  \0") return "gnu";
  // Only the first five bytes are reliable: some writers leave out the version.
  return magic.startsWith("ustar") ? "ustar" : "v7";
}

/** star keeps two times behind a shorter prefix, and says so in the last four bytes. */
function isStar(block: Buffer): boolean {
  return block.toString("latin1", 508, 512) === "tar\0";
}

/** A NUL-terminated or full field. */
function text(block: Buffer, offset: number, length: number): ByteString {
  const end = block.indexOf(0, offset);
  return block.toString("latin1", offset, end < 0 || end > offset + length ? offset + length : end);
}

/** A number field. Throws INVALID_INPUT on anything else, and on values that a JavaScript number cannot hold exactly. */
export function number(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  if (first >= 0x80) return base256(block, offset, length, what);
  let index = offset;
  const end = offset + length;
  while (index < end && (block[index] === 0x20 || block[index] === 0)) index += 1;
  let value = 0;
  for (; index < end; index += 1) {
    const byte = block[index] ?? 0;
    if (byte === 0x20 || byte === 0) return value;
    if (byte < 0x30 || byte > 0x37) throw malformed(`a header's ${what} is not a number`);
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function base256(block: Buffer, offset: number, length: number, what: string): number {
  const negative = ((block[offset] ?? 0) & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let index = 0; index < length; index += 1) {
    const byte = BigInt(block[offset + index] ?? 0);
    value = index === 0 ? (negative ? (value << 7n) | (byte & 0x7fn) : byte & 0x7fn) : (value << 8n) | byte;
  }
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER)) {
    throw malformed(`a header's ${what} is too large`);
  }
  return Number(value);
}

export function malformed(what: string): RktError {
  return new RktError("INVALID_INPUT", `Cannot read the archive: ${what}`);
}
