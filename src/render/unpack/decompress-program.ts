/**
 * Decompression by a program of the host, in the unpacker's own jail: it runs on another processor, and what it writes is read into the same piece of memory again
 * and again. It is believed nothing: the caller compares the digest of what comes out.
 */

import { spawn } from "node:child_process";
import { accessSync, constants, readSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { F, type Host, O, SystemCallError } from "../../host/mod.ts";

export type ProgramForm = "gzip" | "zstd" | "xz" | "bzip2";

export interface Program {
  readonly path: string;
  readonly args: readonly string[];
}

/** Bytes that are read at once: they stay in the processor's cache until they are hashed and written. */
export const PIECE = 256 * 1024;

/** As much as the kernel lets anybody have (pipe(7), pipe-max-size), so that neither side waits for the other at every piece. */
const PIPE_SIZE = 1 << 20;

const LONGEST_WORDS = 4096;

const ARGUMENTS: Record<ProgramForm, readonly string[]> = {
  gzip: ["-dc"],
  // The limit keeps the memory that a hostile stream asks for bounded; "zstd -19" writes windows of 8 MiB.
  zstd: ["-dcq", "--memory=32MB"],
  xz: ["-dc", "--memlimit-decompress=100MiB"],
  bzip2: ["-dc"],
};

/** The program for a form, if this host has it. */
export function findProgram(form: ProgramForm): Program | undefined {
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

/**
 * What the program makes of the file `fd`. Each piece is valid until the next one is asked for. Reading blocks the thread: nothing else is to be done meanwhile. Throws
 * INVALID_INPUT when the program says that the content is malformed, HOST_PROGRAM when it does not run.
 */
export async function* throughProgram(host: Host, fd: number, program: Program): AsyncGenerator<Buffer> {
  const [content, words] = [host.pipe(), host.pipe()];
  enlarge(host, content.write);
  // A program that has much to say must not wait for somebody who waits for its content.
  host.fcntl(words.write, F.SETFL, O.NONBLOCK);
  const child = spawn(program.path, program.args, { stdio: [fd, content.write, words.write], env: { LANG: "C" } });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  ended.catch(() => {});
  host.close(content.write);
  host.close(words.write);
  const piece = Buffer.allocUnsafeSlow(PIECE);
  let whole = false;
  try {
    for (let length = readSync(content.read, piece); length > 0; length = readSync(content.read, piece)) {
      yield piece.subarray(0, length);
    }
    whole = true;
  } finally {
    host.close(content.read);
    if (!whole) child.kill("SIGKILL");
    const said = whole ? readSync(words.read, piece, 0, LONGEST_WORDS, null) : 0;
    host.close(words.read);
    const status = await ended.catch((cause: unknown) => cause);
    if (whole) requireGood(program, status, piece.toString("utf8", 0, said));
  }
}

function enlarge(host: Host, fd: number): void {
  try {
    host.fcntl(fd, F.SETPIPE_SZ, PIPE_SIZE);
  } catch (error) {
    // The user's share of pipe memory is used up: the pipe stays as it is.
    if (!(error instanceof SystemCallError)) throw error;
  }
}

function requireGood(program: Program, status: unknown, words: string): void {
  // A warning of gzip's (2) is about garbage behind its last member, which node:zlib refuses as well.
  if (status === 0) return;
  if (status instanceof Error) {
    throw new RktError("HOST_PROGRAM", `Cannot decompress the archive: cannot start "${program.path}"`, {
      cause: status,
    });
  }
  const early = /unexpected end|premature|ends unexpectedly|truncated/i.test(words);
  const reason = words.trim() === "" ? `${program.path} ended with ${status ?? "a signal"}` : words.trim();
  throw new RktError(
    "INVALID_INPUT",
    `Cannot decompress the archive: ${early ? "the stream ends early (truncated)" : printable(reason, 300)}`,
  );
}
