/** Decompression by a program of the host, in the unpacker's own jail. */

import { spawn } from "node:child_process";
import { readSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import {
  type DecompressProgram,
  enlargePipe,
  LONGEST_WORDS,
  PIECE,
  streamProblem,
} from "../../host/decompress-program.ts";
import { F, type Host, O } from "../../host/mod.ts";

/**
 * What the program makes of the file `fd`. Each piece is valid until the next one is asked for. Reading blocks the thread: nothing else is to be done meanwhile. Throws
 * INVALID_INPUT when the program says that the content is malformed, HOST_PROGRAM when it does not run.
 */
export async function* throughProgram(host: Host, fd: number, program: DecompressProgram): AsyncGenerator<Buffer> {
  const [content, words] = [host.pipe(), host.pipe()];
  enlargePipe(host, content.write);
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

function requireGood(program: DecompressProgram, status: unknown, words: string): void {
  if (status instanceof Error) {
    throw new RktError("HOST_PROGRAM", `Cannot decompress the archive: cannot start "${program.path}"`, {
      cause: status,
    });
  }
  const problem = streamProblem(program, typeof status === "number" ? status : null, words);
  if (problem !== undefined) throw new RktError("INVALID_INPUT", `Cannot decompress the archive: ${problem}`);
}
