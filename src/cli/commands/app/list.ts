/** rkt app list. */

import { RktError } from "../../../core/errors.ts";
import { linux } from "../../../host/mod.ts";
import { appStatus, closePod, podManifest, podReader, retrievePod } from "../../../pod/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { formatTable } from "../../table.ts";
import { endingWithOne } from "./app-words.ts";

export const command: Command = {
  name: "list",
  summary: "List apps in a pod",
  usage: "UUID [--no-legend]",
  description:
    "Displays the apps of a pod and their states: created, running, exited, or unknown while an app is being added or removed.",
  flags: [{ name: "no-legend", kind: "bool", usage: "suppress a legend with the list" }],
  run: (input) => endingWithOne(() => listCommand(input)),
};

function listCommand({ engine, flags, args, output }: CommandInput): void {
  const [uuid, ...others] = args;
  if (uuid === undefined || others.length > 0) throw new RktError("USAGE", "must provide the pod UUID");
  const pod = retrievePod(podReader(engine.dataDir, linux), uuid, "error listing apps");
  try {
    const rows: string[][] = podManifest(linux, pod).apps.map(({ name }) => [name, appStatus(linux, pod, name).state]);
    if (!flags.bool("no-legend")) rows.unshift(["NAME", "STATE"]);
    output.stdout(formatTable(rows) || "\n");
  } finally {
    closePod(linux, pod);
  }
}
