/** Synchronous writes to stdout and stderr that are complete whatever the descriptor is: a slow pipe, a non-blocking terminal, a full disk. */

import { RktError } from "../core/errors.ts";
import { isErrno, SystemCallError } from "../host/errno.ts";
import { write } from "../host/write.ts";

/** Where the reporter writes; a test's is a list of strings. */
export interface Terminal {
  /** Throws OUTPUT when it could not be written for another reason than that nobody reads any more. */
  stdout(text: string): void;
  /** Never throws: there is no other place to tell it. */
  stderr(text: string): void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  let reader = true;
  return {
    stdout(text) {
      if (!reader) return;
      try {
        writeFully(1, text);
      } catch (cause) {
        // `rkt list | head -1`: the reader has what it wanted. The command goes on to its end, since half-done work is worse than unread lines.
        reader = !isErrno(cause, "EPIPE");
        const why = cause instanceof SystemCallError ? cause.meaning : String(cause);
        if (reader) throw new RktError("OUTPUT", `Cannot write to standard output: ${why}`);
      }
    },
    stderr(text) {
      try {
        writeFully(2, text);
      } catch {}
    },
  };
}

/** write(2) may take a part only, and a non-blocking descriptor (shared with another process, which made it so) takes nothing for a while. */
function writeFully(fd: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  let pause = 1;
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += write(fd, bytes, offset);
      pause = 1;
    } catch (error) {
      if (isErrno(error, "EINTR")) continue;
      if (!isErrno(error, "EAGAIN")) throw error;
      Bun.sleepSync(pause);
      pause = Math.min(pause * 2, 32);
    }
  }
}
