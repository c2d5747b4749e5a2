/** Maps of sparse files (GNU tar manual, "Storing Sparse Files"): which parts of the file the archive has; the rest are holes. */

import type { ByteString } from "./bytes.ts";
import { BLOCK, malformed, number } from "./header.ts";

export interface Segment {
  offset: number;
  length: number;
}

/** A map longer than this is not from an honest file: it would be 16 MB of memory. */
const MOST_SEGMENTS = 1_000_000;

/** Checks what every form promises: in order, inside the file, and as many bytes as the archive stores. Throws INVALID_INPUT. */
export function checkedMap(segments: Segment[], realSize: number, stored: number): Segment[] {
  let position = 0;
  let sum = 0;
  for (const { offset, length } of segments) {
    if (offset < position || offset + length > realSize)
      throw malformed("a sparse map is out of order or out of bounds");
    position = offset + length;
    sum += length;
  }
  if (sum !== stored) throw malformed("a sparse map does not match the stored size");
  return segments.filter(({ length }) => length > 0);
}

/** Old GNU form: `count` pairs in a block, from `offset` on; an unused pair is zero. True when another block follows. */
export function oldGnuPairs(block: Buffer, offset: number, count: number, into: Segment[]): boolean {
  for (let index = 0; index < count; index += 1) {
    const start = offset + index * 24;
    if (block[start + 12] === 0) break;
    addSegment(into, number(block, start, 12, "sparse map"), number(block, start + 12, 12, "sparse map"));
  }
  return block[offset + count * 24] === 1;
}

/** pax 0.1: "offset,length,offset,length,…". */
export function commaMap(text: ByteString): Segment[] {
  const numbers = text === "" ? [] : text.split(",").map(count);
  if (numbers.length % 2 !== 0) throw malformed("a sparse map is malformed");
  const segments: Segment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    addSegment(segments, numbers[index] ?? 0, numbers[index + 1] ?? 0);
  }
  return segments;
}

/**
 * pax 1.0: the map stands before the data, as decimal lines, filled up to a block: the count, then offset and length of each. Takes the blocks one by one;
 * `take` returns the segments once they are complete.
 */
export function blockMapReader(): (block: Buffer) => Segment[] | undefined {
  const numbers: number[] = [];
  let wanted = 1;
  let digits = "";
  return (block) => {
    for (let index = 0; index < BLOCK; index += 1) {
      const byte = block[index] ?? 0;
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > 20) throw malformed("a sparse map is malformed");
        continue;
      }
      numbers.push(count(digits));
      digits = "";
      if (numbers.length === 1) {
        wanted = 1 + 2 * (numbers[0] ?? 0);
        if (wanted > 2 * MOST_SEGMENTS) throw malformed("a sparse map is too long");
      }
      if (numbers.length === wanted) return pairs(numbers);
    }
    return undefined;
  };
}

function pairs(numbers: readonly number[]): Segment[] {
  const segments: Segment[] = [];
  for (let index = 1; index < numbers.length; index += 2) {
    addSegment(segments, numbers[index] ?? 0, numbers[index + 1] ?? 0);
  }
  return segments;
}

export function addSegment(into: Segment[], offset: number, length: number): void {
  if (into.length >= MOST_SEGMENTS) throw malformed("a sparse map is too long");
  if (offset < 0 || length < 0 || !Number.isSafeInteger(offset + length)) throw malformed("a sparse map is malformed");
  into.push({ offset, length });
}

function count(text: string): number {
  if (!/^[0-9]{1,16}$/.test(text)) throw malformed("a sparse map is malformed");
  return Number(text);
}
