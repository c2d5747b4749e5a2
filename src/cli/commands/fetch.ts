/** rkt fetch: images into the store, verified. */

import { RktError } from "../../core/errors.ts";
import { parseImageReference } from "../../fetch/image-reference.ts";
import { linux } from "../../host/mod.ts";
import { supportsOverlay } from "../../stage0/mount-overlay.ts";
import { obtainImage } from "../../stage0/obtain-image.ts";
import { openDataDir } from "../../stage0/open-data-dir.ts";
import { renderStored } from "../../stage0/render-stored.ts";
import type { Command, CommandInput } from "../command.ts";
import { PROGRESS_FLAG, pullPolicyFlags, SIGNATURE_FLAG } from "../pod-flags.ts";
import { readPullPolicy } from "../pod-options.ts";

export const command: Command = {
  name: "fetch",
  summary: "Fetch image(s) and store them in the local store",
  usage: "IMAGE_URL...",
  description: `Fetches images, verifies who signed them, and prints one image id per image. Needs no root: members of group "rkt" may fetch.

As root the images are unpacked at once, so that the first start does not wait for it.`,
  flags: [
    { name: "full", kind: "bool", usage: "print the full image id" },
    ...pullPolicyFlags("update"),
    PROGRESS_FLAG,
  ],
  noImageArguments: true,
  imageFlags: [SIGNATURE_FLAG],
  run: fetchCommand,
};

async function fetchCommand(input: CommandInput): Promise<void> {
  const { engine, flags, images, output } = input;
  if (images.length === 0) throw new RktError("USAGE", "must provide at least one image");
  const pullPolicy = readPullPolicy(flags);
  await openDataDir(engine);
  const unpackedNext = process.geteuid?.() === 0 && supportsOverlay(linux, engine.dataDir.root);
  for (const image of images) {
    const reference = parseImageReference(image.image, process.cwd());
    const signature = image.flags.given("signature") ? image.flags.string("signature") : undefined;
    const stored = await obtainImage(engine, reference, { pullPolicy, signature, unpackedNext });
    if (unpackedNext) await renderStored(engine, stored, pullPolicy === "never" ? "never" : "new");
    output.stdout(`${flags.bool("full") ? stored.id : stored.id.slice(0, "sha512-".length + 32)}\n`);
  }
}
