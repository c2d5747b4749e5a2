/**
 * Follows the frames of a zstd stream (RFC 8878, section 3) without decompressing it. The decompressor ends a truncated stream without an error (seen with
 * Bun 1.4), so something has to know whether the last frame was whole.
 */

import { RktError } from "../../core/errors.ts";

export interface ZstdFrames {
  /** Takes the next compressed bytes. Throws INVALID_INPUT on what is no frame. */
  push(chunk: Buffer): void;
  /** Throws INVALID_INPUT when the stream ends inside a frame. */
  finish(): void;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

export function zstdFrames(): ZstdFrames {
  let skip = 0;
  let wanted = 4;
  let value = 0;
  let have = 0;
  let next: (value: number) => void = magic;
  let checksum = 0;

  function expect(bytes: number, then: (value: number) => void): void {
    wanted = bytes;
    next = then;
  }

  function magic(number: number): void {
    if (number === MAGIC) expect(1, descriptor);
    else if (number >= SKIPPABLE && number <= SKIPPABLE + 15) {
      expect(4, (size) => {
        skip = size;
        expect(4, magic);
      });
    } else throw new RktError("INVALID_INPUT", "Cannot decompress the archive: what follows a zstd frame is not one");
  }

  function descriptor(byte: number): void {
    const singleSegment = (byte & 0x20) !== 0;
    const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][byte >> 6] ?? 0;
    const dictionary = [0, 1, 2, 4][byte & 3] ?? 0;
    checksum = (byte & 4) === 0 ? 0 : 4;
    skip = (singleSegment ? 0 : 1) + dictionary + contentSize;
    expect(3, blockHeader);
  }

  function blockHeader(header: number): void {
    const last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === 3) throw new RktError("INVALID_INPUT", "Cannot decompress the archive: a zstd block is malformed");
    skip = (type === 1 ? 1 : header >> 3) + (last ? checksum : 0);
    if (last) expect(4, magic);
  }

  function push(chunk: Buffer): void {
    for (let position = 0; position < chunk.length; ) {
      if (skip > 0) {
        const length = Math.min(skip, chunk.length - position);
        skip -= length;
        position += length;
        continue;
      }
      value += (chunk[position] ?? 0) * 2 ** (8 * have);
      position += 1;
      have += 1;
      if (have < wanted) continue;
      const complete = value;
      value = 0;
      have = 0;
      next(complete);
    }
  }

  function finish(): void {
    if (skip > 0 || have > 0 || next !== magic) {
      throw new RktError("INVALID_INPUT", "Cannot decompress the archive: the zstd stream ends early (truncated)");
    }
  }

  return { push, finish };
}
