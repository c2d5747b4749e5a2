/**
 * The host's programs that decompress. They run on another processor, and what they write is read into the same piece of memory again and again; each piece of a stream of node:zlib is new memory, which the
 * kernel has to clear and map first, and that takes as long as the inflating itself. They are believed nothing: callers compare the digest of what comes out.
 */

import { accessSync, constants } from "node:fs";
import type { ProgramForm } from "../core/compression.ts";
import { printable } from "../core/text.ts";
import { F } from "./constants.ts";
import { SystemCallError } from "./errno.ts";
import type { Host } from "./host.ts";

export interface DecompressProgram {
  readonly path: string;
  readonly args: readonly string[];
}

/** Bytes that are read at once: they stay in the processor's cache until they are hashed and written. */
export const PIECE = 256 * 1024;

/** Below this many bytes a program's start takes longer than what it saves. */
export const WORTH_A_PROGRAM = 256 * 1024;

/** As much of what a program says as anybody reads. */
export const LONGEST_WORDS = 4096;

/** As much as the kernel lets anybody have (pipe(7), pipe-max-size), so that neither side waits for the other at every piece. */
const PIPE_SIZE = 1 << 20;

const ARGUMENTS: Record<ProgramForm, readonly string[]> = {
  gzip: ["-dc"],
  // A stream chooses the decoder's memory by itself: the limits keep what a hostile one asks for bounded. "zstd -19" writes windows of 8 MiB.
  zstd: ["-dcq", "--memory=32MB"],
  xz: ["-dc", "--memlimit-decompress=100MiB"],
  bzip2: ["-dc"],
};

/** The package that has the program, for hints. */
export const PACKAGES: Record<ProgramForm, string> = { gzip: "gzip", zstd: "zstd", xz: "xz-utils", bzip2: "bzip2" };

/** The program for a stream of `size` bytes; undefined where this host has none, and for a short one that the runtime's own streams can decompress. */
export function programFor(form: ProgramForm, size: number): DecompressProgram | undefined {
  const isStreamable = form === "gzip" || form === "zstd";
  return isStreamable && size < WORTH_A_PROGRAM ? undefined : findDecompressProgram(form);
}

/** The program for a form, if this host has it. */
export function findDecompressProgram(form: ProgramForm): DecompressProgram | undefined {
  for (const directory of ["/usr/bin", "/bin"]) {
    const path = `${directory}/${form}`;
    try {
      accessSync(path, constants.X_OK);
      return { path, args: ARGUMENTS[form] };
    } catch {
      // The next directory, or none.
    }
  }
  return undefined;
}

/** Gives a pipe the largest buffer. */
export function enlargePipe(host: Host, fd: number): void {
  try {
    host.fcntl(fd, F.SETPIPE_SZ, PIPE_SIZE);
  } catch (error) {
    // The user's share of pipe memory is used up: the pipe stays as it is.
    if (!(error instanceof SystemCallError)) throw error;
  }
}

/** What was wrong with the stream, by a program's exit status and words; undefined: nothing. A warning of gzip's (2) is about garbage behind its last member. */
export function streamProblem(program: DecompressProgram, status: number | null, words: string): string | undefined {
  if (status === 0) return undefined;
  if (/unexpected end|premature|ends unexpectedly|truncated/i.test(words)) return "the stream ends early (truncated)";
  return words.trim() === "" ? `${program.path} ended with ${status ?? "a signal"}` : printable(words.trim(), 300);
}
