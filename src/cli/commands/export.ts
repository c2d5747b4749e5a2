/** rkt export: an app of an ended pod as an ACI. */

import { lstatSync } from "node:fs";
import { resolve } from "node:path";
import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { tryLock } from "../../host/lock.ts";
import { linux } from "../../host/mod.ts";
import { closePod, type Pod, podManifest, podReader, retrievePod } from "../../pod/mod.ts";
import { chosenApp } from "../chosen-app.ts";
import type { Command, CommandInput } from "../command.ts";
import { CommandLineError } from "../command-line-error.ts";
import { podFirst, UUID_FILE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "export",
  summary: "Export an app from an exited pod to an ACI file",
  usage: "[--app=APPNAME] [--overwrite] --uuid-file=FILE | UUID OUTPUT_ACI_FILE",
  description:
    "Writes the app's image with everything that the app changed in it; volumes are left out. The pod must have exited. The extension of the output file must be .aci.",
  flags: [
    { name: "app", kind: "string", usage: "name of the app to export within the specified pod" },
    UUID_FILE_FLAG,
    { name: "overwrite", kind: "bool", usage: "overwrite the output file if it exists" },
  ],
  requiresRoot: true,
  run: exportCommand,
};

async function exportCommand(input: CommandInput): Promise<void> {
  const { engine, flags, output } = input;
  const [uuid, file, ...rest] = podFirst(input);
  if (uuid === undefined || file === undefined || rest.length > 0)
    throw new CommandLineError("must provide a pod UUID and an output file");
  if (!file.endsWith(".aci")) throw new RktError("USAGE", `extension must be .aci (given ${file})`);
  const path = resolve(file);
  if (!flags.bool("overwrite") && lstatSync(path, { throwIfNoEntry: false }) !== undefined)
    throw new RktError("CONFLICT", "target file exists (try --overwrite)");
  const pod = retrievePod(podReader(engine.dataDir, linux), uuid);
  try {
    holdEnded(pod);
    const apps = podManifest(linux, pod).apps.map(({ name }) => name);
    const app = chosenApp(apps, flags.string("app"), "export", output);
    const { exportApp } = await import("../pod-export.ts");
    await exportApp(engine, pod, app, path);
  } finally {
    closePod(linux, pod);
  }
}

/** Keeps gc and rm away until the pod is closed. Throws WRONG_STATE. */
function holdEnded(pod: Pod): void {
  if ((pod.state === "exited" || pod.state === "exited garbage") && tryLock(linux, pod.fd, "shared")) return;
  throw new RktError("WRONG_STATE", "pod is not exited. Only exited pods can be exported", {
    hint: `pod ${quoted(pod.uuid)} is ${pod.state}`,
  });
}
