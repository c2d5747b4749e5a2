/** rkt image verify: whether the store still holds what was fetched. */

import { FAILURE_STATUS, RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { listImages } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { failureText } from "../../image-removals.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "verify",
  summary: "Verify one or more stored images",
  usage: "--all | IMAGE...",
  description: `Checks that every archive, layer and document of the images is what its digest says, that the signature holds with the keys that are trusted now, and, as root, that the unpacked files are what was unpacked.

Damaged unpacked files are unpacked again. An image with a damaged archive or layer should be fetched again; rkt fsck --repair does so.`,
  flags: [{ name: "all", kind: "bool", usage: "every image of the store" }],
  readsImages: true,
  run: verifyCommand,
};

async function verifyCommand({ engine, flags, args, output }: CommandInput): Promise<number> {
  const all = flags.bool("all");
  if (all && args.length > 0) throw new RktError("USAGE", "give images or --all, not both");
  if (!all && args.length === 0) throw new RktError("USAGE", "must provide at least one image ID");
  const { verifyImage } = await import("../../verify-image.ts");
  let status = 0;
  for (const word of all ? listImages(engine.dataDir).map(({ id }) => id) : args) {
    try {
      const image = storedImage(engine, word);
      await verifyImage(engine, image, word, output.error);
      output.stdout(`successfully verified checksum for image: ${quoted(word)} (${quoted(image.id)})\n`);
    } catch (error) {
      output.error(`verification failed for image ${quoted(word)}: ${failureText(error)}`);
      if (error instanceof RktError && error.hint !== undefined) output.error(`hint: ${error.hint}`);
      status = FAILURE_STATUS;
    }
  }
  return status;
}
