/**
 * Follows the frames of a zstd stream (RFC 8878) while somebody else decompresses them: node:zlib takes a truncated stream, and garbage after one, for a good
 * end (seen on Bun 1.4.5), and would allocate whatever window a frame asks for.
 */

import { RktError } from "./errors.ts";

/** 32 MiB: `zstd -19` uses 8 MiB; four layers at once must fit into memory whatever they ask for. */
const LARGEST_WINDOW_LOG = 25;

const MAGIC = 0xfd2fb528;

export interface FrameFollower {
  /** Takes the next bytes of the stream. Throws INVALID_INPUT or UNSUPPORTED. */
  feed(chunk: Uint8Array): void;
  /** Throws INVALID_INPUT unless the stream may end here. */
  finish(): void;
}

/** `what` is named in errors: "Cannot decompress WHAT: …". */
export function followZstdFrames(what = "a zstd stream"): FrameFollower {
  const broken = (how: string) => new RktError("INVALID_INPUT", `Cannot decompress ${what}: ${how}`);
  /** What the next `needed` bytes are. */
  let state: "magic" | "skippable size" | "descriptor" | "header" | "block" | "content" | "checksum" = "magic";
  let needed = 4;
  let pending: number[] = [];
  /** Bytes of content still to pass by unread, and the state after them. */
  let skip = 0;
  let afterSkip: "magic" | "block" | "checksum" = "magic";
  let descriptor = 0;
  let frames = 0;

  const expect = (next: typeof state, bytes: number) => {
    state = next;
    needed = bytes;
    pending = [];
  };
  const pass = (bytes: number, next: typeof afterSkip) => {
    skip = bytes;
    afterSkip = next;
    expect("content", 0);
    if (skip === 0) resume();
  };
  const resume = () => expect(afterSkip, afterSkip === "block" ? 3 : 4);

  const take = (bytes: readonly number[]) => {
    const value = bytes.reduce((sum, byte, index) => sum + byte * 2 ** (8 * index), 0);
    switch (state) {
      case "magic":
        // 0x184D2A50 … 5F: a skippable frame.
        if (value >= 0x184d2a50 && value <= 0x184d2a5f) return expect("skippable size", 4);
        if (value !== MAGIC)
          throw broken(frames === 0 ? "it does not start with a frame" : "garbage follows its last frame");
        frames += 1;
        return expect("descriptor", 1);
      case "skippable size":
        return pass(value, "magic");
      case "descriptor":
        descriptor = value;
        if ((descriptor & 0x08) !== 0) throw broken("a reserved bit is set");
        return expect("header", headerLength(descriptor));
      case "header":
        assertWindow(descriptor, bytes, what);
        return expect("block", 3);
      case "block": {
        const last = (value & 1) === 1;
        const type = (value >> 1) & 3;
        if (type === 3) throw broken("a block has the reserved type");
        const after = !last ? "block" : (descriptor & 0x04) !== 0 ? "checksum" : "magic";
        return pass(type === 1 ? 1 : value >> 3, after);
      }
      case "checksum":
        return expect("magic", 4);
    }
  };

  return {
    feed(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (skip > 0) {
          const step = Math.min(skip, chunk.length - at);
          skip -= step;
          at += step;
          if (skip === 0) resume();
          continue;
        }
        pending.push(chunk[at] ?? 0);
        at += 1;
        if (pending.length === needed) take(pending);
      }
    },
    finish() {
      if (state !== "magic" || pending.length > 0 || frames === 0) throw broken("it ends in the middle of a frame");
    },
  };
}

/** Frame_Header without its descriptor (section 3.1.1.1). */
function headerLength(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return (singleSegment ? 0 : 1) + dictionary + contentSize;
}

function assertWindow(descriptor: number, header: readonly number[], what: string): void {
  const singleSegment = (descriptor & 0x20) !== 0;
  let window: number;
  if (singleSegment) {
    const size = [1, 2, 4, 8][descriptor >> 6] ?? 0;
    const content = header.slice(header.length - size).reduce((sum, byte, index) => sum + byte * 2 ** (8 * index), 0);
    window = content + (size === 2 ? 256 : 0);
  } else {
    const byte = header[0] ?? 0;
    const base = 2 ** (10 + (byte >> 3));
    window = base + (base / 8) * (byte & 7);
  }
  if (window > 2 ** LARGEST_WINDOW_LOG) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot decompress ${what}: it needs a window of ${window} bytes, expected at most ${2 ** LARGEST_WINDOW_LOG}`,
      { hint: "compress the layer without --long or --ultra" },
    );
  }
}
