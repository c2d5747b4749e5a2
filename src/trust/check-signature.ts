/** The verify worker's main task: feed an archive to gpgv and to a hash at the same time. Runs as rkt-verify, with no rights; the archive is bytes to it. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { internalError, RktError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import { readGpgvStatus, type Verdict } from "./gpgv-status.ts";

export interface SignatureCheck extends Verdict {
  /** Of the very bytes that gpgv saw, hex. */
  readonly sha512: string;
}

const CHUNK = 1024 * 1024;

/** Checks `signature` (binary, detached) over the file behind `archive` with the keys in `keyring` (binary). Throws HOST_PROGRAM when gpgv cannot do it. */
export async function checkSignature(archive: number, keyring: Buffer, signature: Buffer): Promise<SignatureCheck> {
  const [keyringFile, signatureFile] = [unnamedFile(keyring), unnamedFile(signature)];
  const gpgv = spawn(
    "gpgv",
    // An empty home: no keyring, no configuration but what is named here. "-": the signed data come on stdin.
    ["--homedir", "/nonexistent", "--status-fd", "1", "--keyring", "/proc/self/fd/3", "/proc/self/fd/4", "-"],
    { stdio: ["pipe", "pipe", "pipe", keyringFile, signatureFile], env: { PATH: process.env.PATH, LC_ALL: "C" } },
  );
  closeSync(keyringFile);
  closeSync(signatureFile);
  const ended = new Promise<void>((resolve, reject) => {
    gpgv.once("error", reject);
    gpgv.once("close", () => resolve());
  });
  const { stdin, stdout, stderr } = gpgv;
  if (stdin === null || stdout === null || stderr === null) throw internalError("gpgv without pipes");
  const [status, words] = [collect(stdout), collect(stderr)];
  const sha512 = await stream(archive, stdin);
  await ended.catch((cause: unknown) => {
    throw new RktError("HOST_PROGRAM", 'Cannot start "gpgv" to check the signature', { cause, hint: "install gpgv" });
  });
  const verdict = readGpgvStatus(status());
  // Its exit status says less than its lines; but no line at all means that it did not get to the signature.
  if (verdict.good.length + verdict.problems.length === 0) {
    throw new RktError("NOT_TRUSTED", "keystore: no valid signatures found in signature file", {
      cause: new Error(printable(words().trim(), 2000)),
    });
  }
  return { ...verdict, sha512 };
}

/** A file without a name, opened for reading: nothing is left behind, however this process ends. */
export function unnamedFile(content: Buffer): number {
  const directory = mkdtempSync(join(tmpdir(), "rkt-verify-"));
  try {
    const path = join(directory, "file");
    writeFileSync(path, content, { mode: 0o600 });
    return openSync(path, "r");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function stream(archive: number, gpgv: Writable): Promise<string> {
  const hash = createHash("sha512");
  let open = true;
  // gpgv stops reading when it does not know the key; the hash is then of no use, but the answer still has one.
  gpgv.on("error", () => {
    open = false;
  });
  gpgv.on("close", () => {
    open = false;
  });
  for (;;) {
    // A new buffer each time: the pipe may still hold the last one.
    const buffer = Buffer.allocUnsafe(CHUNK);
    const count = readSync(archive, buffer, 0, CHUNK, null);
    if (count === 0) break;
    const chunk = buffer.subarray(0, count);
    hash.update(chunk);
    if (open && !gpgv.write(chunk)) await drainedOrClosed(gpgv);
  }
  gpgv.end();
  return hash.digest("hex");
}

function drainedOrClosed(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      output.off("drain", done).off("close", done);
      resolve();
    };
    output.once("drain", done).once("close", done);
  });
}

function collect(output: NodeJS.ReadableStream): () => string {
  const chunks: string[] = [];
  let length = 0;
  output.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= 1024 * 1024) chunks.push(chunk.toString("utf8"));
  });
  return () => chunks.join("");
}
