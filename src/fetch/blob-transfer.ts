/** Brings one layer of known digest and size into the store, from wherever it comes. */

import { closeSync } from "node:fs";
import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { linux } from "../host/mod.ts";
import {
  blobPath,
  blobSize,
  discardPart,
  isFullDisk,
  keepPart,
  lockPart,
  openBlob,
  type PartFile,
  partSize,
  publishPart,
  readPieces,
  removeBlob,
  truncatePart,
  writePart,
} from "./cas.ts";
import { debug, type Job, progressReporter, retryOptions } from "./job.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

export interface WantedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** What the decompressed content must have; undefined: whoever unpacks it will see. */
  readonly diffId: Digest | undefined;
}

/** The content from `offset` on; may be asked for several times. */
export type BlobContent = (
  offset: number,
  signal: AbortSignal | undefined,
) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Puts `wanted` into the store, unless it is there. An interrupted transfer goes on where it stopped, in this process or a later one. Of several
 * processes that want the same blob one transfers it and the others wait.
 * Throws DIGEST_MISMATCH (nothing is kept then), TransferError, SYSTEM_CALL for a full disk.
 */
export async function receiveBlob(job: Job, wanted: WantedBlob, content: BlobContent): Promise<void> {
  const label = wanted.digest.hex.slice(0, 12);
  for (;;) {
    if (await isStored(job, wanted)) {
      debug(job, `layer ${label} is in the store`);
      return;
    }
    const part = await lockPart(job.cas, `${wanted.digest.algorithm}-${wanted.digest.hex}.part`, {
      isDone: () => blobSize(job.cas, wanted.digest) === wanted.size,
      onWait: () => debug(job, `another rkt instance is downloading layer ${label}, waiting...`),
      signal: job.signal,
    });
    if (part !== undefined) return fillPart(job, wanted, content, part);
    // Somebody else stored it meanwhile: look at what they stored.
  }
}

/** True when the store has the blob, whole and with the right diff id. A damaged blob is removed, so that it is fetched again. */
async function isStored(job: Job, wanted: WantedBlob): Promise<boolean> {
  if (blobSize(job.cas, wanted.digest) !== wanted.size) return false;
  if (wanted.diffId === undefined || readNote(job, wanted.digest) === formatDigest(wanted.diffId)) return true;
  const { contentCheck, requireLayer } = await layerCheck();
  const check = contentCheck(wanted.digest.algorithm, wanted.diffId.algorithm);
  const fd = openBlob(job.cas, wanted.digest);
  try {
    for (const piece of readPieces(fd, 0)) await check.feed(piece);
  } finally {
    closeSync(fd);
  }
  const seen = await check.finish();
  if (formatDigest(seen.digest) !== formatDigest(wanted.digest)) {
    job.emit({
      kind: "warning",
      text: `layer ${wanted.digest.hex.slice(0, 12)} in the store is damaged; fetching it again`,
    });
    removeBlob(job.cas, wanted.digest);
    return false;
  }
  requireLayer(nameOf(wanted), seen, wanted.digest, wanted.diffId);
  writeNote(blobPath(job.cas, wanted.digest), wanted.diffId);
  return true;
}

async function fillPart(job: Job, wanted: WantedBlob, content: BlobContent, part: PartFile): Promise<void> {
  const resumed = partSize(part) > 0;
  try {
    await transfer(job, wanted, content, part);
  } catch (error) {
    if (resumed && error instanceof RktError && error.code === "DIGEST_MISMATCH") {
      // The beginning, from an earlier run, may be what is wrong.
      truncatePart(part, 0);
      await transferAnew(job, wanted, content, part);
    } else {
      giveUp(part, error);
      throw error;
    }
  }
  if (wanted.diffId !== undefined) writeNote(part.path, wanted.diffId);
  try {
    await publishPart(job.cas, part, wanted.digest);
  } catch (error) {
    giveUp(part, error);
    throw error;
  }
}

async function transferAnew(job: Job, wanted: WantedBlob, content: BlobContent, part: PartFile): Promise<void> {
  try {
    await transfer(job, wanted, content, part);
  } catch (error) {
    giveUp(part, error);
    throw error;
  }
}

/** A partial download is kept for a later run, unless it is known to be wrong or fills the disk. */
function giveUp(part: PartFile, error: unknown): void {
  const wrong =
    error instanceof RktError && ["DIGEST_MISMATCH", "INVALID_INPUT", "UNSUPPORTED", "MALICIOUS"].includes(error.code);
  if (wrong || isFullDisk(error) || partSize(part) === 0) discardPart(part);
  else keepPart(part);
}

async function transfer(job: Job, wanted: WantedBlob, content: BlobContent, part: PartFile): Promise<void> {
  if (partSize(part) > wanted.size) truncatePart(part, 0);
  const { contentCheck, requireLayer } = await layerCheck();
  const check = contentCheck(wanted.digest.algorithm, wanted.diffId?.algorithm);
  const report = progressReporter(job, wanted.digest.hex.slice(0, 12));
  try {
    let offset = 0;
    for (const piece of readPieces(part.fd, 0)) {
      await check.feed(piece);
      offset += piece.length;
    }
    if (offset > 0) debug(job, `resuming ${nameOf(wanted)} at byte ${offset}`);
    await withRetries(retryOptions(job), async (progress) => {
      if (offset === wanted.size && offset > 0) return;
      for await (const chunk of content(offset, job.signal)) {
        // More than was promised: a server could fill the disk before its digest is known to be wrong.
        if (offset + chunk.length > wanted.size) throw wrongSize(wanted);
        writePart(part, chunk, offset);
        await check.feed(chunk);
        offset += chunk.length;
        progress();
        report(offset, wanted.size);
      }
      if (offset < wanted.size) throw brokenOff(wanted, offset);
    });
    requireLayer(nameOf(wanted), await check.finish(), wanted.digest, wanted.diffId);
  } finally {
    check.destroy();
  }
}

/** Loaded only when there is something to look through: what decompresses takes its time. */
function layerCheck() {
  return import("./layer-check.ts");
}

function nameOf(wanted: WantedBlob): string {
  return `layer ${formatDigest(wanted.digest)}`;
}

function wrongSize(wanted: WantedBlob): RktError {
  return new RktError(
    "DIGEST_MISMATCH",
    `Cannot use ${nameOf(wanted)}: it is longer than the stated ${wanted.size} bytes`,
  );
}

function brokenOff(wanted: WantedBlob, offset: number): TransferError {
  const message = `Cannot fetch ${nameOf(wanted)}: the transfer broke off after ${offset} of ${wanted.size} bytes`;
  return new TransferError("NETWORK", message, { temporary: true });
}

/**
 * The diff id that a stored blob was seen to have, noted on the blob itself, so that an image fetched again costs no second decompression. It saves work and
 * decides nothing: whoever unpacks checks the diff id again.
 */
const NOTE = "user.rkt.diff-id";

function readNote(job: Job, digest: Digest): string | undefined {
  try {
    return linux.lgetxattr(blobPath(job.cas, digest), NOTE).toString("latin1");
  } catch {
    return undefined;
  }
}

function writeNote(path: string, diffId: Digest): void {
  try {
    linux.lsetxattr(path, NOTE, Buffer.from(formatDigest(diffId)));
  } catch {
    // A file system without attributes, or a blob of somebody else: the next fetch looks at the content.
  }
}
