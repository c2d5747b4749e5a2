/** rkt image cat-manifest: the manifest of an image, in the appc vocabulary. */

import { internalError, RktError } from "../../../core/errors.ts";
import { formatImageManifest, parseImageManifest } from "../../../spec/appc/image-manifest.ts";
import { imageManifestText, readBlob } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "cat-manifest",
  summary: "Inspect and print the image manifest",
  usage: "[--pretty-print=BOOL] [--raw] IMAGE",
  description: `IMAGE should be a string referencing an image; either a hash or an image name.

The manifest of an OCI image is shown as the App Container manifest that it is run by; with --raw as it came from the registry.`,
  flags: [
    { name: "pretty-print", kind: "bool", default: "true", usage: "apply indent to format the output" },
    { name: "raw", kind: "bool", usage: "print the manifest's bytes as they came" },
  ],
  readsImages: true,
  run: catManifestCommand,
};

function catManifestCommand({ engine, flags, args, output }: CommandInput): void {
  const [name, ...rest] = args;
  if (name === undefined || rest.length > 0) throw new RktError("USAGE", "must provide exactly one image");
  const image = storedImage(engine, name);
  const options = { emit: engine.emit };
  if (!flags.bool("raw")) {
    const manifest = parseImageManifest(imageManifestText(engine.dataDir, image, options));
    output.stdout(`${formatImageManifest(manifest, flags.bool("pretty-print") ? "\t" : "")}\n`);
  } else if (image.format === "aci") {
    output.stdout(`${imageManifestText(engine.dataDir, image, options).trimEnd()}\n`);
  } else {
    if (image.manifest === undefined) throw internalError("OCI image without manifest");
    output.stdout(`${readBlob(engine.dataDir, image.manifest, options).toString("utf8").trimEnd()}\n`);
  }
}
