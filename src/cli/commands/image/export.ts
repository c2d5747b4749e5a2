/** rkt image export: an image as an uncompressed ACI, or as an archive of other tools. */

import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { storedImage } from "../../stored-image.ts";

const FORMATS = ["aci", "oci-archive", "docker-archive"] as const;

export const command: Command = {
  name: "export",
  summary: "Export a stored image to an ACI file",
  usage: "[--overwrite] [--format=aci|oci-archive|docker-archive] IMAGE OUTPUT_FILE",
  description: `IMAGE should be a string referencing an image: either an ID or an image name.

Note that images must be fetched prior to running export and that this command always returns uncompressed ACIs, unless another format is asked for. An OCI image is converted to an ACI, an ACI to the other formats; that needs root, and gives the same bytes each time.

An oci-archive (a tar file of an OCI image layout) keeps an OCI image's manifest and digest; a docker-archive is what "docker load" takes.`,
  flags: [
    {
      name: "format",
      kind: "string",
      default: "aci",
      usage: 'format of the output: "aci", "oci-archive" or "docker-archive"',
    },
    { name: "overwrite", kind: "bool", usage: "overwrite output ACI" },
  ],
  readsImages: true,
  run: exportCommand,
};

async function exportCommand({ engine, flags, args }: CommandInput): Promise<void> {
  const [name, file, ...rest] = args;
  if (name === undefined || file === undefined || rest.length > 0) {
    throw new CommandLineError("must provide an image and an output file");
  }
  const format = flags.string("format");
  if (!isFormat(format)) {
    throw new CommandLineError(
      `invalid argument ${quoted(format)} for --format: expected one of ${FORMATS.join(", ")}`,
    );
  }
  const output = resolve(file);
  const image = storedImage(engine, name);
  if (!flags.bool("overwrite") && lstatSync(output, { throwIfNoEntry: false }) !== undefined) {
    throw new RktError("CONFLICT", "output ACI file exists (try --overwrite)");
  }
  if (format !== "aci") {
    const { exportArchive } = await import("../../image-export-archive.ts");
    await exportArchive(engine, image, format, output);
    return;
  }
  const { exportAci, exportOci } = await import("../../image-export.ts");
  if (image.format === "aci") await exportAci(engine, image, output);
  else await exportOci(engine, image, output);
}

function isFormat(text: string): text is (typeof FORMATS)[number] {
  return FORMATS.some((format) => format === text);
}
