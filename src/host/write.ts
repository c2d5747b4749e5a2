/**
 * write(2) for the program's own output. Bound apart from linux.ts, because it is all that `rkt version` needs of the system: node:fs takes 5 ms to load, the whole
 * table of libc.ts 2.
 */

import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { SystemCallError } from "./errno.ts";

const { i32, i64, ptr: pointer } = FFIType;

const { symbols } = dlopen("libc.so.6", {
  write: { args: [i32, pointer, i64], returns: i64 },
  __errno_location: { args: [], returns: pointer },
});

/** Writes what the descriptor takes of `bytes` (not empty) from `offset` on; gives how much that was. Throws SystemCallError. */
export function write(fd: number, bytes: Uint8Array, offset: number): number {
  const written = Number(symbols.write(fd, ptr(bytes, offset), bytes.length - offset));
  if (written >= 0) return written;
  const location = symbols.__errno_location();
  throw new SystemCallError("write to", location === null ? 0 : read.i32(location, 0), `descriptor ${fd}`);
}
