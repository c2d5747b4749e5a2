/** The frames of a session (guest/session.c): a letter, the length in 16 bits, little-endian, and that many bytes. */

/** Throws RangeError for more than 65535 bytes. */
export function frame(letter: string, data: string | Uint8Array): Buffer {
  const body = typeof data === "string" ? Buffer.from(data) : data;
  const head = Buffer.alloc(3);
  head.write(letter, "latin1");
  head.writeUInt16LE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Takes bytes as they come and gives whole frames. At most one frame is kept: a guest cannot make rkt hold more. */
export function frameReader(take: (letter: string, data: Buffer) => void): (bytes: Buffer) => void {
  let kept: Buffer = Buffer.alloc(0);
  return (bytes) => {
    kept = kept.length === 0 ? bytes : Buffer.concat([kept, bytes]);
    while (kept.length >= 3 && kept.length >= 3 + kept.readUInt16LE(1)) {
      const end = 3 + kept.readUInt16LE(1);
      take(kept.toString("latin1", 0, 1), kept.subarray(3, end));
      kept = kept.subarray(end);
    }
  };
}
