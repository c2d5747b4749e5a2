/** rkt image rm: removes images from the store. */

import type { Engine } from "../../../core/engine.ts";
import { RktError } from "../../../core/errors.ts";
import type { StoredImage } from "../../../core/spine.ts";
import { quoted } from "../../../core/text.ts";
import { directDependencies, listImages } from "../../../store/mod.ts";
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
  readsImages: true,
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
  for (const { image, dependent } of stillNeeded(engine, images)) {
    // As in rkt 1.x it is removed all the same; who needs it fetches it again.
    output.error(`image ${quoted(image.id)} is one that image ${quoted(dependent.id)} depends on`);
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

/** Images to be removed that others, which stay, depend on. */
function stillNeeded(engine: Engine, images: ReadonlyMap<string, StoredImage>) {
  const options = { emit: engine.emit };
  return listImages(engine.dataDir, options)
    .filter(({ id }) => !images.has(id))
    .flatMap((dependent) =>
      [...new Set(directDependencies(engine.dataDir, dependent, options).map(({ id }) => id))].flatMap((id) => {
        const image = images.get(id);
        return image === undefined ? [] : [{ image, dependent }];
      }),
    );
}
