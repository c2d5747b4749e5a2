/** Writing one exported file: as a whole or not at all, with the work of foreign programs confined. */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readSync, renameSync, unlinkSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import { workerAccount } from "../host/accounts.ts";

/** First bytes of an archive → the program that undoes its compression. */
const PROGRAMS: readonly (readonly [magic: readonly number[], program: string])[] = [
  [[0x1f, 0x8b], "gzip"],
  [[0x42, 0x5a, 0x68], "bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "xz"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
];

/** Writes the content of the open file `blob` without its compression, at the position of `output`. A user without rights does it. Throws HOST_PROGRAM. */
export async function decompressTo(blob: number, output: number): Promise<void> {
  await run(decompressor(blob), blob, output, true);
}

/** Puts what `write` writes at `path`, as a whole or not at all. */
export async function writeWhole(path: string, write: (file: number) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  const file = openSync(temporary, "wx+", 0o644);
  try {
    await write(file);
    fsyncSync(file);
    renameSync(temporary, path);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Runs a program between two files. `confined`: it eats what strangers wrote, so under root it gets a user without rights. */
export async function run(
  command: readonly string[],
  input: number | "ignore",
  output: number,
  confined: boolean,
): Promise<void> {
  const account = confined && process.geteuid?.() === 0 ? workerAccount("rkt-fetch") : undefined;
  const identity =
    account === undefined
      ? []
      : [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups", "--bounding-set=-all"];
  const [program = "", ...words] = confined
    ? ["setpriv", "--no-new-privs", "--inh-caps=-all", ...identity, ...command]
    : command;
  const child = spawn(program, words, {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    stdio: [input, output, "pipe"],
  });
  let lastWords = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    if (lastWords.length < 4096) lastWords += chunk.toString("utf8");
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).catch((cause: unknown) => {
    throw new RktError("HOST_PROGRAM", `Cannot start ${quoted(program)}`, { cause });
  });
  if (status !== 0)
    throw new RktError("HOST_PROGRAM", `Cannot export: ${command[0]} failed: ${printable(lastWords.trim(), 2000)}`);
}

function decompressor(blob: number): string[] {
  const start = Buffer.alloc(6);
  readSync(blob, start, 0, start.length, 0);
  const program = PROGRAMS.find(([magic]) => magic.every((byte, index) => start[index] === byte))?.[1];
  return program === undefined ? ["cat"] : [program, "--decompress", "--stdout"];
}
