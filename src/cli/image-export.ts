/** Images as ACI files: what was fetched, uncompressed, or an OCI image in that form. */

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { imageIdFromSha512 } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { StoredImage } from "../core/spine.ts";
import { printable, quoted } from "../core/text.ts";
import { workerAccount } from "../host/accounts.ts";
import { tryLock } from "../host/lock.ts";
import { linux } from "../host/mod.ts";
import { takePrepareLock } from "../pod/prepare-lock.ts";
import { copyTree } from "../render/copy-tree.ts";
import { obtainImage } from "../stage0/obtain-image.ts";
import { renderStored } from "../stage0/render-stored.ts";
import { openBlob } from "../store/mod.ts";

/** First bytes of an archive → the program that undoes its compression. */
const PROGRAMS: readonly (readonly [magic: readonly number[], program: string])[] = [
  [[0x1f, 0x8b], "gzip"],
  [[0x42, 0x5a, 0x68], "bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "xz"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
];

/** The archive without its compression: the very bytes that the image's id is the digest of. Throws DIGEST_MISMATCH, HOST_PROGRAM, SYSTEM_CALL. */
export async function exportAci({ dataDir }: Engine, image: StoredImage, output: string): Promise<void> {
  const [archive] = image.layers;
  if (archive === undefined) throw internalError(`ACI ${image.id} without archive`);
  const blob = openBlob(dataDir, archive);
  try {
    await writeWhole(output, async (file) => {
      await run(decompressor(blob), blob, file, true);
      const id = imageIdFromSha512(sha512(file));
      if (id !== image.id)
        throw new RktError("DIGEST_MISMATCH", `Cannot export image ${image.id}: its archive holds ${id}`);
    });
  } finally {
    closeSync(blob);
  }
}

/** The unpacked files of an OCI image with the manifest that it is run by. Root only. Throws what rendering throws, HOST_PROGRAM without tar. */
export async function exportOci(engine: Engine, image: StoredImage, output: string): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", `Cannot convert OCI image ${image.id} to an ACI: permission denied`, {
      hint: "this unpacks the image, which needs root",
    });
  }
  const reference = { kind: "hash", text: image.id } as const;
  const verified = await obtainImage(engine, reference, { pullPolicy: "never", signature: undefined });
  const tree = await renderStored(engine, verified);
  const directory = join(engine.dataDir.tmp, `rkt-image-export-${randomBytes(8).toString("hex")}`);
  mkdirSync(directory, { mode: 0o700 });
  // Its lock says that somebody works here: `image gc` removes the directory of an export that was killed.
  const working = openSync(directory, "r");
  tryLock(linux, working, "exclusive");
  try {
    const lock = await takePrepareLock(engine.dataDir, linux, "shared");
    try {
      mkdirSync(join(directory, "rootfs"), { mode: 0o700 });
      copyTree(linux, engine.dataDir, tree, join(directory, "rootfs"));
    } finally {
      closeSync(lock);
    }
    writeFileSync(join(directory, "manifest"), tree.manifest, { mode: 0o644 });
    const words = [
      "--create",
      "--format=posix",
      "--pax-option=delete=atime,delete=ctime",
      "--sort=name",
      "--numeric-owner",
    ];
    const attributes = ["--xattrs", "--xattrs-include=*", "--sparse", "--directory", directory, "manifest", "rootfs"];
    await writeWhole(output, (file) => run(["tar", ...words, ...attributes], "ignore", file, false));
  } finally {
    rmSync(directory, { recursive: true, force: true });
    closeSync(working);
  }
}

function decompressor(blob: number): string[] {
  const start = Buffer.alloc(6);
  readSync(blob, start, 0, start.length, 0);
  const program = PROGRAMS.find(([magic]) => magic.every((byte, index) => start[index] === byte))?.[1];
  return program === undefined ? ["cat"] : [program, "--decompress", "--stdout"];
}

/** Runs a program between two files. `confined`: it eats what strangers wrote, so under root it gets a user without rights. */
async function run(
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

/** Puts what `write` writes at `path`, as a whole or not at all. */
async function writeWhole(path: string, write: (file: number) => Promise<void>): Promise<void> {
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

function sha512(file: number): string {
  const hash = createHash("sha512");
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (let at = 0; ; ) {
    const count = readSync(file, buffer, 0, buffer.length, at);
    if (count === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
    at += count;
  }
}
