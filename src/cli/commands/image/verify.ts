/** rkt image verify: whether the store still holds what was fetched. */

import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import type { DataDir } from "../../../core/data-dir.ts";
import { formatDigest } from "../../../core/digest.ts";
import { FAILURE_STATUS, RktError } from "../../../core/errors.ts";
import type { BlobRef, StoredImage } from "../../../core/spine.ts";
import { quoted } from "../../../core/text.ts";
import { openBlob } from "../../../store/mod.ts";
import { blobsOf } from "../../../store/record.ts";
import type { Command, CommandInput } from "../../command.ts";
import { failureText } from "../../image-removals.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "verify",
  summary: "Verify one or more stored images",
  usage: "IMAGE...",
  description: `Checks that every archive, layer and document of the images is what its digest says. An image that is not should be fetched again.`,
  flags: [],
  run: verifyCommand,
};

function verifyCommand({ engine, args, output }: CommandInput): number {
  if (args.length === 0) throw new RktError("USAGE", "must provide at least one image ID");
  let status = 0;
  for (const word of args) {
    try {
      const image = storedImage(engine, word);
      verifyImage(engine.dataDir, image);
      output.stdout(`successfully verified checksum for image: ${quoted(word)} (${quoted(image.id)})\n`);
    } catch (error) {
      output.error(`verification failed for image ${quoted(word)}: ${failureText(error)}`);
      status = FAILURE_STATUS;
    }
  }
  return status;
}

/** Throws NOT_FOUND or DIGEST_MISMATCH. */
function verifyImage(dataDir: DataDir, image: StoredImage): void {
  for (const blob of blobsOf(image)) {
    const fd = openBlob(dataDir, blob);
    try {
      verifyContent(fd, blob);
    } finally {
      closeSync(fd);
    }
  }
}

function verifyContent(fd: number, { digest }: BlobRef): void {
  const hash = createHash(digest.algorithm);
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
    hash.update(buffer.subarray(0, count));
  const hex = hash.digest("hex");
  if (hex === digest.hex) return;
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot use blob ${formatDigest(digest)}: its content has ${digest.algorithm}:${hex}`,
  );
}
