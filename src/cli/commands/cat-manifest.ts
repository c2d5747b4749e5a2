/** rkt cat-manifest: a pod's manifest. */

import { linux } from "../../host/mod.ts";
import { closePod, podManifest, podReader, retrievePod } from "../../pod/mod.ts";
import { formatPodManifest } from "../../spec/appc/mod.ts";
import type { Command, CommandInput } from "../command.ts";
import { podWord, UUID_FILE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "cat-manifest",
  summary: "Inspect and print the pod manifest",
  usage: "[--pretty-print=BOOL] --uuid-file=FILE | UUID",
  description: "Prints the pod manifest as JSON.",
  flags: [
    { name: "pretty-print", kind: "bool", default: "true", usage: "apply indent to format the output" },
    UUID_FILE_FLAG,
  ],
  run: catManifestCommand,
};

function catManifestCommand(input: CommandInput): void {
  const { engine, flags, output } = input;
  const pod = retrievePod(podReader(engine.dataDir, linux), podWord(input));
  try {
    output.stdout(`${formatPodManifest(podManifest(linux, pod), flags.bool("pretty-print") ? "\t" : "")}\n`);
  } finally {
    closePod(linux, pod);
  }
}
