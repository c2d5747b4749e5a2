/**
 * File names are bytes, and a JavaScript string of UTF-8 text cannot hold all of them. Inside this folder a name is a string with one character (U+0000 to
 * U+00FF) per byte: it compares, splits and serves as a key like any string, and loses nothing.
 */

import { quotedPath } from "../../host/errno.ts";

/** One character per byte ("latin1"). Never shown as it is: see {@link shown}. */
export type ByteString = string;

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** The bytes of ordinary text. */
export function fromText(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** For messages: quoted, without control characters. */
export function shown(text: ByteString): string {
  return quotedPath(toBytes(text));
}
