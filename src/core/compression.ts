/** Which compression a stream has, by its first bytes. Media types and file names lie; content does not. */

export type Compression = "none" | ProgramForm;

/** Each has a program of the same name. */
export type ProgramForm = "gzip" | "zstd" | "xz" | "bzip2";

/** Bytes that {@link detectCompression} wants to see. */
export const MAGIC_LENGTH = 6;

const MAGICS: readonly (readonly [ProgramForm, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];

/** The compression of a stream that begins with `start`. */
export function detectCompression(start: Uint8Array): Compression {
  if (isSkippableZstd(start)) return "zstd";
  return MAGICS.find(([, magic]) => magic.every((byte, index) => start[index] === byte))?.[0] ?? "none";
}

/** A zstd stream may open with a skippable frame (zstd:chunked, pzstd). */
function isSkippableZstd(start: Uint8Array): boolean {
  const [first = 0, second, third, fourth] = start;
  return (first & 0xf0) === 0x50 && second === 0x2a && third === 0x4d && fourth === 0x18;
}
