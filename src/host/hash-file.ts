/** Digests of open files. */

import { readSync } from "node:fs";

/** Synchronous, so that one piece of memory serves every file: a tree has thousands. */
const PIECE = Buffer.allocUnsafeSlow(256 * 1024);

/** Hexadecimal digest of an open file, or of `size` bytes of it from `start` on; less when it ends before. The descriptor's position is neither used nor changed. */
export function hashFile(
  fd: number,
  algorithm: "sha256" | "sha512",
  start = 0,
  size = Number.POSITIVE_INFINITY,
): string {
  const hash = new Bun.CryptoHasher(algorithm);
  for (let done = 0; done < size; ) {
    const count = readSync(fd, PIECE, 0, Math.min(PIECE.length, size - done), start + done);
    if (count === 0) break;
    hash.update(PIECE.subarray(0, count));
    done += count;
  }
  return hash.digest("hex");
}
