/**
 * Names, sizes and places of the entries of a tar archive, and nothing else: enough to find `manifest` in an ACI and the blobs in an image archive. (The
 * reader that unpacks is another, in src/render, and runs in another process.) ustar, base-256 sizes, GNU long names, pax path, linkpath and size.
 */

import { RktError } from "../core/errors.ts";

export const TAR_BLOCK = 512;

export interface TarEntry {
  /** Without leading "./" and slashes. */
  readonly name: string;
  readonly kind: "file" | "link" | "other";
  /** Bytes of content that follow the header, without padding. */
  readonly size: number;
  /** Target of a symbolic or hard link. */
  readonly link: string;
}

/** What a header block is: the end, an entry, or a header about the next entry whose `size` bytes must be given to {@link TarHeaders.extension}. */
export type TarHeader =
  | { readonly type: "end" }
  | { readonly type: "entry"; readonly entry: TarEntry }
  | { readonly type: "extension"; readonly size: number };

export interface TarHeaders {
  /** Takes a header block. Throws INVALID_INPUT when it is none. */
  header(block: Uint8Array): TarHeader;
  /** Takes the content of the extension header just seen. */
  extension(content: Uint8Array): void;
}

/** What extended headers say about the next entry, or (global ones) about all that follow. */
interface Overrides {
  path?: string;
  linkpath?: string;
  size?: number;
}

/** Long names and pax records are at most this long; honest ones are far below. */
const LONGEST_EXTENSION = 1024 * 1024;

export function tarHeaders(): TarHeaders {
  const globals: Overrides = {};
  let overrides: Overrides | undefined;
  let extensionType = "";
  return {
    header(block) {
      if (block.every((byte) => byte === 0)) return { type: "end" };
      assertChecksum(block);
      const type = String.fromCharCode(block[156] ?? 0);
      const ownSize = number(block.subarray(124, 136));
      if ("xgLK".includes(type)) {
        if (ownSize > LONGEST_EXTENSION) throw malformed("an extended header is too long");
        extensionType = type;
        return { type: "extension", size: ownSize };
      }
      const about = overrides ?? globals;
      overrides = undefined;
      const size = about.size ?? ownSize;
      const prefix = ustarPrefix(block);
      const name = about.path ?? (prefix === "" ? "" : `${prefix}/`) + text(block.subarray(0, 100));
      const link = about.linkpath ?? text(block.subarray(157, 257));
      const kind =
        type === "\0" || type === "0" || type === "7" ? "file" : type === "1" || type === "2" ? "link" : "other";
      // Links, directories and devices have no content, whatever their size field says (POSIX pax, "size").
      return {
        type: "entry",
        entry: { name: plainName(name), kind, size: kind === "link" || "3456".includes(type) ? 0 : size, link },
      };
    },
    extension(content) {
      if (extensionType === "g") applyPaxRecords(globals, content);
      else overrides ??= { ...globals };
      if (overrides === undefined) return;
      if (extensionType === "L") overrides.path = text(content);
      if (extensionType === "K") overrides.linkpath = text(content);
      if (extensionType === "x") applyPaxRecords(overrides, content);
    },
  };
}

/** Bytes of `size` bytes of content with the padding behind them. */
export function padded(size: number): number {
  return Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
}

function plainName(name: string): string {
  return name.replace(/^(?:\.?\/)+/, "");
}

/**
 * Byte for byte the rules of the unpacker (src/render/tar/header.ts): an entry that had one name here and another there would be verified as one image and unpacked as
 * another. GNU tar's own format keeps times where ustar keeps the prefix, star only behind its first 131 bytes; of ustar's magic only five bytes are reliable.
 */
function ustarPrefix(block: Uint8Array): string {
  const magic = latin1(block.subarray(257, 265));
  if (magic === "ustar  \0" || !magic.startsWith("ustar")) return "";
  const isStar = latin1(block.subarray(508, 512)) === "tar\0";
  return text(block.subarray(345, isStar ? 476 : 500));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
}

function number(field: Uint8Array): number {
  let value = 0;
  if (((field[0] ?? 0) & 0x80) !== 0) {
    for (const [at, byte] of field.entries()) value = value * 256 + (at === 0 ? byte & 0x7f : byte);
  } else {
    // GNU tar and Go skip NULs before a number: some writers' fields run over.
    const digits = text(field.subarray(field.findIndex((byte) => byte !== 0 && byte !== 0x20))).trim();
    if (!/^[0-7]*$/.test(digits)) throw malformed("a size is no number");
    value = Number.parseInt(digits || "0", 8);
  }
  if (!Number.isSafeInteger(value)) throw malformed("a size is too large");
  return value;
}

function assertChecksum(block: Uint8Array): void {
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (block.length !== TAR_BLOCK || sum !== number(block.subarray(148, 156)))
    throw malformed("a header's checksum is wrong");
}

/** "LENGTH KEY=VALUE\n" (POSIX pax). An empty value takes an earlier (global) one back. */
function applyPaxRecords(into: Overrides, content: Uint8Array): void {
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString("latin1", at, space < 0 ? at : space));
    if (!Number.isInteger(length) || length < 3 || at + length > bytes.length)
      throw malformed("a pax record is damaged");
    const record = bytes.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    set(into, record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
}

function set(into: Overrides, key: string, value: string): void {
  if (key === "path" || key === "linkpath") {
    if (value === "") delete into[key];
    else into[key] = value;
  }
  if (key !== "size") return;
  if (value === "") delete into.size;
  else if (/^\d{1,15}$/.test(value)) into.size = Number(value);
}

function malformed(how: string): RktError {
  return new RktError("INVALID_INPUT", `Cannot read the archive as a tar file: ${how}`);
}
