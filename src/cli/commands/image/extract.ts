/** rkt image extract: the content of an image. */

import type { Command } from "../../command.ts";
import { DIRECTORY_FLAGS, writeImageDirectory } from "../../image-directory.ts";

export const command: Command = {
  name: "extract",
  summary: "Extract a stored image to a directory",
  usage: "[--rootfs-only] [--overwrite] IMAGE OUTPUT_DIR",
  description: `IMAGE should be a string referencing an image: either an ID or an image name.

Of an App Container image, only its own files are written, without those of the images that it depends on; image render writes all.`,
  flags: DIRECTORY_FLAGS,
  requiresRoot: true,
  readsImages: true,
  run: (input) => writeImageDirectory(input, "own layer"),
};
