/** rkt image rm: removes images from the store. */

import { RktError } from "../../../core/errors.ts";
import type { StoredImage } from "../../../core/spine.ts";
import { removeImage } from "../../../store/remove-image.ts";
import type { Command, CommandInput } from "../../command.ts";
import { failureText, imageRemovals } from "../../image-removals.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "rm",
  summary: "Remove image(s) with the given ID(s) or name(s) from the local store",
  usage: "IMAGE...",
  description: `Unlike image gc, rkt image rm removes images whether they were used recently or not. Pods that exist keep what they run.`,
  flags: [],
  run: rmCommand,
};

function rmCommand(input: CommandInput): number {
  const { engine, args, output } = input;
  if (args.length === 0) throw new RktError("USAGE", "must provide at least one image ID");
  // Named twice, by id and by name perhaps, an image is removed once.
  const images = new Map<string, StoredImage>();
  for (const word of args) {
    try {
      const image = storedImage(engine, word);
      images.set(image.id, image);
    } catch (error) {
      // rkt 1.x: told, and no failure, since what should be gone is not there.
      output.error(failureText(error));
    }
  }
  const removals = imageRemovals(output);
  for (const image of images.values()) {
    try {
      removals.removed(image, removeImage(engine.dataDir, image, { emit: engine.emit }));
    } catch (error) {
      removals.failed(image, error);
    }
  }
  return removals.end();
}
