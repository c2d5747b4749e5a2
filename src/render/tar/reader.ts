/**
 * The tar reader. It is fed chunks of any size and calls a sink, synchronously: whoever feeds it decides the pace, and
 * nothing is kept but the header being read. Forms: ustar, base-256 numbers, GNU long names and links, GNU sparse, pax
 * local and global headers, pax sparse 0.0, 0.1 and 1.0.
 *
 * What it accepts where writers differ follows GNU tar and Go's archive/tar, which wrote and read every image there is;
 * a reader that saw other entries than they do would let an archive mean two things.
 */

import { type ByteString, fromBytes } from "./bytes.ts";
import { type EntryType, type TarEntry, toEntry } from "./entry.ts";
import { applyPaxRecords, type Extended, nothingExtended, sparseKind, startFrom } from "./extended.ts";
import { BLOCK, isZeroBlock, malformed, number, parseHeader, type RawHeader } from "./header.ts";
import { parsePaxRecords } from "./pax.ts";
import { blockMapReader, checkedMap, oldGnuPairs, type Segment } from "./sparse.ts";

/**
 * Called in the order of the archive: `entry`, then for a file `data` (ascending offsets), then `end`. The bytes are
 * valid during the call only.
 */
export interface TarSink {
  entry(entry: TarEntry): void;
  data(bytes: Buffer, offset: number): void;
  end(): void;
}

export interface TarReader {
  /** Takes the next bytes of the archive. Throws INVALID_INPUT, and whatever the sink throws. */
  push(chunk: Buffer): void;
  /** Says that no more bytes come. Throws INVALID_INPUT when the archive ends inside an entry. */
  finish(): void;
}

/** Of one extended header. Attribute values are at most 64 KiB each (xattr(7)). */
const LARGEST_EXTENDED = 1 << 20;
/** Of all the extended headers before one entry. */
const LARGEST_EXTENDED_SUM = 4 << 20;
/** Headers of one archive; ten times what the largest known images have. */
const MOST_HEADERS = 10_000_000;
const HEADER_ONLY = new Set<EntryType>(["directory", "symlink", "hardlink", "char", "block", "fifo"]);

export function tarReader(sink: TarSink): TarReader {
  const globals = nothingExtended();
  let extended: Extended | undefined;
  let extendedBytes = 0;
  let headers = 0;
  let ended = false;

  // What comes next: `wanted` bytes in one piece for `collected`; or `dataLeft` bytes of a file; or `skip` bytes of
  // padding.
  let wanted = BLOCK;
  let collected: (bytes: Buffer) => void = header;
  let partial: Buffer | undefined;
  let partialLength = 0;
  let dataLeft = 0;
  let skip = 0;
  let offset = 0;
  let segments: Segment[] | undefined;
  let segment = 0;

  function push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length && !ended) {
      if (dataLeft > 0) position += takeData(chunk, position);
      else if (skip > 0) {
        const length = Math.min(skip, chunk.length - position);
        skip -= length;
        position += length;
      } else position += collect(chunk, position);
    }
  }

  function finish(): void {
    // GNU tar and Go accept an archive without the two zero blocks at its end, if it ends where a header would begin.
    // Some writers (umoci's insert) even leave out the last entry's padding: its data is whole, so nothing is lost.
    const inside = dataLeft > 0 || partialLength > 0 || extended !== undefined || collected !== header;
    if (!ended && inside) throw malformed("it ends in the middle of an entry (truncated)");
  }

  function collect(chunk: Buffer, position: number): number {
    const available = chunk.length - position;
    if (partialLength === 0 && available >= wanted) {
      const length = wanted;
      collected(chunk.subarray(position, position + length));
      return length;
    }
    partial ??= Buffer.allocUnsafe(wanted);
    const length = Math.min(wanted - partialLength, available);
    chunk.copy(partial, partialLength, position, position + length);
    partialLength += length;
    if (partialLength === wanted) {
      const bytes = partial;
      partial = undefined;
      partialLength = 0;
      collected(bytes);
    }
    return length;
  }

  function expect(length: number, then: (bytes: Buffer) => void): void {
    wanted = length;
    collected = then;
  }

  function takeData(chunk: Buffer, position: number): number {
    let length = Math.min(dataLeft, chunk.length - position);
    if (segments === undefined) {
      sink.data(chunk.subarray(position, position + length), offset);
    } else {
      const current = segments[segment];
      if (current === undefined) throw malformed("a sparse map does not match the stored size");
      length = Math.min(length, current.length - offset);
      sink.data(chunk.subarray(position, position + length), current.offset + offset);
    }
    offset += length;
    dataLeft -= length;
    if (segments !== undefined && offset === segments[segment]?.length) {
      segment += 1;
      offset = 0;
    }
    if (dataLeft === 0) sink.end();
    return length;
  }

  function header(block: Buffer): void {
    if (isZeroBlock(block)) {
      if (extended !== undefined) throw malformed("an extended header has no entry");
      // One zero block ends the archive for GNU tar; whatever follows is not part of it.
      ended = true;
      return;
    }
    headers += 1;
    if (headers > MOST_HEADERS) throw malformed(`it has more than ${MOST_HEADERS} headers`);
    const raw = parseHeader(block);
    if (raw.size < 0) throw malformed("a header's size is negative");
    switch (raw.type) {
      case "x":
        extendedHeader(raw, (bytes) => applyPaxRecords(current(), parsePaxRecords(bytes)));
        break;
      case "g":
        extendedHeader(raw, (bytes) => applyPaxRecords(globals, parsePaxRecords(bytes)));
        break;
      case "L":
        extendedHeader(raw, (bytes) => {
          current().path = upToNul(bytes);
        });
        break;
      case "K":
        extendedHeader(raw, (bytes) => {
          current().link = upToNul(bytes);
        });
        break;
      case "V": // A volume label names the archive, not a file.
        skip = padded(raw.size);
        break;
      default: {
        const about = extended ?? startFrom(globals);
        extended = undefined;
        extendedBytes = 0;
        entry(raw, about, block);
      }
    }
  }

  function current(): Extended {
    extended ??= startFrom(globals);
    return extended;
  }

  function extendedHeader(raw: RawHeader, apply: (bytes: Buffer) => void): void {
    extendedBytes += raw.size;
    if (raw.size > LARGEST_EXTENDED || extendedBytes > LARGEST_EXTENDED_SUM) {
      throw malformed(`an extended header has ${raw.size} bytes, expected at most ${LARGEST_EXTENDED}`);
    }
    if (raw.type === "g") extendedBytes = 0;
    if (raw.size === 0) return;
    expect(padded(raw.size), (bytes) => {
      expect(BLOCK, header);
      // A copy: values outlive this call, and the chunk they came in is large.
      apply(Buffer.from(bytes.subarray(0, raw.size)));
    });
  }

  function entry(raw: RawHeader, about: Extended, block: Buffer): void {
    const result = toEntry(raw, about);
    const stored = HEADER_ONLY.has(result.type) ? 0 : (about.size ?? raw.size);
    const kind = result.type === "file" ? sparseKind(about, raw) : "plain";
    if (kind === "plain") begin({ ...result, size: stored }, stored, undefined);
    else if (kind === "mapped") beginSparse(result, about.sparse.map ?? [], about.sparse.realSize ?? stored, stored);
    else if (kind === "old-gnu") oldGnuSparse(result, block, stored);
    else mapInData(result, about.sparse.realSize ?? 0, stored);
  }

  function begin(result: TarEntry, stored: number, map: Segment[] | undefined): void {
    segments = map;
    segment = 0;
    offset = 0;
    dataLeft = stored;
    skip = padded(stored) - stored;
    expect(BLOCK, header);
    sink.entry(result);
    if (stored === 0) sink.end();
  }

  function beginSparse(result: TarEntry, map: Segment[], realSize: number, stored: number): void {
    begin({ ...result, size: realSize, sparse: true }, stored, checkedMap(map, realSize, stored));
  }

  function oldGnuSparse(result: TarEntry, block: Buffer, stored: number): void {
    const map: Segment[] = [];
    const realSize = number(block, 483, 12, "size");
    if (!oldGnuPairs(block, 386, 4, map)) {
      beginSparse(result, map, realSize, stored);
      return;
    }
    expect(BLOCK, (extension) => {
      if (!oldGnuPairs(extension, 0, 21, map)) beginSparse(result, map, realSize, stored);
    });
  }

  function mapInData(result: TarEntry, realSize: number, stored: number): void {
    const take = blockMapReader();
    let left = stored;
    expect(BLOCK, (block) => {
      left -= BLOCK;
      if (left < 0) throw malformed("a sparse map is longer than its entry");
      const map = take(block);
      if (map !== undefined) beginSparse(result, map, realSize, left);
    });
  }

  return { push, finish };
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function upToNul(bytes: Buffer): ByteString {
  const end = bytes.indexOf(0);
  return fromBytes(end < 0 ? bytes : bytes.subarray(0, end));
}
