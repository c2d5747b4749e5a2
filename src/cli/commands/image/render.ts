/** rkt image render: an image as it would be run. */

import type { Command } from "../../command.ts";
import { DIRECTORY_FLAGS, writeImageDirectory } from "../../image-directory.ts";

export const command: Command = {
  name: "render",
  summary: "Render a stored image to a directory with all its dependencies",
  usage: "[--rootfs-only] [--overwrite] IMAGE OUTPUT_DIR",
  description: `IMAGE should be a string referencing an image: either an ID or an image name.

Note: this writes plain files, with the owners and modes that the image gives them, and no overlay: they can be removed with rm.`,
  flags: DIRECTORY_FLAGS,
  requiresRoot: true,
  readsImages: true,
  run: (input) => writeImageDirectory(input),
};
