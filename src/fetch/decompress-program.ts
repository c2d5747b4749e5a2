/** Decompression by a program of the host, as user of the fetch worker, of several streams at a time: nothing here blocks. */

import { spawn } from "node:child_process";
import { readSync, writeSync } from "node:fs";
import type { ProgramForm } from "../core/compression.ts";
import { RktError } from "../core/errors.ts";
import {
  type DecompressProgram,
  enlargePipe,
  LONGEST_WORDS,
  PIECE,
  streamProblem,
} from "../host/decompress-program.ts";
import { F, isErrno, linux, O } from "../host/mod.ts";
import type { Decompressor } from "./decompress.ts";

/** Milliseconds until a pipe that was full or empty is looked at again: a program needs more for a piece. */
const PAUSE = 1;

/** One for all streams: what was read is used up before anything else happens. */
const PIECE_OF_ALL = Buffer.allocUnsafeSlow(PIECE);

export function throughProgram(
  form: ProgramForm,
  program: DecompressProgram,
  onData: (chunk: Uint8Array) => void,
): Decompressor {
  const [input, output, words] = [linux.pipe(), linux.pipe(), linux.pipe()];
  for (const fd of [input.write, output.write]) enlargePipe(linux, fd);
  // Each end is a file description of its own: the program's stay blocking, but for what it says, for which it must not wait.
  for (const fd of [input.write, output.read, words.read, words.write]) linux.fcntl(fd, F.SETFL, O.NONBLOCK);
  const child = spawn(program.path, program.args, {
    stdio: [input.read, output.write, words.write],
    env: { LANG: "C" },
  });
  const ended = Promise.withResolvers<number | null>();
  ended.promise.catch(() => {});
  child.once("error", ended.reject);
  child.once("exit", ended.resolve);
  const open = new Set([input.write, output.read, words.read]);
  const close = (fd: number) => open.delete(fd) && linux.close(fd);
  for (const fd of [input.read, output.write, words.write]) linux.close(fd);

  /** What the program has made so far goes to the caller; "nothing" when there was none, "end" when there will be no more. */
  function drain(): "some" | "nothing" | "end" {
    for (let any = false; ; any = true) {
      const length = withoutWaiting(() => readSync(output.read, PIECE_OF_ALL));
      if (length === undefined) return any ? "some" : "nothing";
      if (length === 0) return "end";
      onData(PIECE_OF_ALL.subarray(0, length));
    }
  }

  async function requireGood(): Promise<void> {
    const status = await ended.promise.catch((cause: unknown) => {
      throw new RktError("HOST_PROGRAM", `Cannot decompress the image: cannot start "${program.path}"`, { cause });
    });
    const said = withoutWaiting(() => readSync(words.read, PIECE_OF_ALL, 0, LONGEST_WORDS, null)) ?? 0;
    const problem = streamProblem(program, status, PIECE_OF_ALL.toString("utf8", 0, said));
    if (problem !== undefined) throw new RktError("INVALID_INPUT", `Cannot decompress a ${form} stream: ${problem}`);
  }

  return {
    async write(chunk) {
      for (let done = 0; done < chunk.length; ) {
        const written = withoutWaiting(() => writeSync(input.write, chunk, done, chunk.length - done));
        done += written ?? 0;
        const made = drain();
        // The program ended before its input did.
        if (made === "end") return requireGood();
        if (written === undefined && made === "nothing") await pause();
      }
    },
    async end() {
      close(input.write);
      for (let made = drain(); made !== "end"; made = drain()) if (made === "nothing") await pause();
      await requireGood();
      for (const fd of open) close(fd);
    },
    destroy() {
      child.kill("SIGKILL");
      for (const fd of open) close(fd);
    },
  };
}

/** Undefined where the call would have to wait, or nobody reads any more: then the program has ended, and its status tells why. */
function withoutWaiting(call: () => number): number | undefined {
  try {
    return call();
  } catch (error) {
    if (isErrno(error, "EAGAIN", "EPIPE")) return undefined;
    throw error;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE));
}
