/** rkt image export: an image as an uncompressed ACI. */

import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { RktError } from "../../../core/errors.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "export",
  summary: "Export a stored image to an ACI file",
  usage: "[--overwrite] IMAGE OUTPUT_ACI_FILE",
  description: `IMAGE should be a string referencing an image: either an ID or an image name.

Note that images must be fetched prior to running export and that this command always returns uncompressed ACIs. An OCI image is converted to one; that needs root.`,
  flags: [{ name: "overwrite", kind: "bool", usage: "overwrite output ACI" }],
  run: exportCommand,
};

async function exportCommand({ engine, flags, args }: CommandInput): Promise<void> {
  const [name, file, ...rest] = args;
  if (name === undefined || file === undefined || rest.length > 0) {
    throw new CommandLineError("must provide an image and an output file");
  }
  const output = resolve(file);
  const image = storedImage(engine, name);
  if (!flags.bool("overwrite") && lstatSync(output, { throwIfNoEntry: false }) !== undefined) {
    throw new RktError("CONFLICT", "output ACI file exists (try --overwrite)");
  }
  const { exportAci, exportOci } = await import("../../image-export.ts");
  if (image.format === "aci") await exportAci(engine, image, output);
  else await exportOci(engine, image, output);
}
