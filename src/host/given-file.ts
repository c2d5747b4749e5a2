/** A file that the caller named on the command line: a regular one, or a pipe (`/dev/stdin`, a shell's `<(command)`). */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { readAll } from "./beneath.ts";
import { quotedPath } from "./errno.ts";

/** Its bytes. Throws INVALID_INPUT for more than `limit`, and the system's errors. Waits for a pipe's writer, as every program does. */
export function readGivenFile(path: string, limit: number): Buffer {
  const fd = openSync(path, "r");
  try {
    if (fstatSync(fd).isFile()) return readAll(fd, limit, () => quotedPath(path));
    const chunks: Buffer[] = [];
    for (let left = limit; ; ) {
      const chunk = Buffer.allocUnsafe(64 * 1024);
      const count = readSync(fd, chunk, 0, chunk.length, null);
      if (count === 0) return Buffer.concat(chunks);
      left -= count;
      if (left < 0) throw new RktError("INVALID_INPUT", `Cannot read ${quotedPath(path)}: larger than ${limit} bytes`);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}
