/** rkt app status. */

import { RktError } from "../../../core/errors.ts";
import { printable, quoted } from "../../../core/text.ts";
import { linux } from "../../../host/mod.ts";
import { appStatus, closePod, type Pod, podManifest, podReader, retrievePod } from "../../../pod/mod.ts";
import type { NameValue, PodManifest, RuntimeApp } from "../../../spec/appc/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { goTime } from "../../human.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";
import { appJson, mountDetails } from "../../pod-json.ts";
import { APP_FLAG, appWords, endingWithOne } from "./app-words.ts";

export const command: Command = {
  name: "status",
  summary: "Print the status of an app in a pod",
  usage: "UUID --app=NAME [--format=json|json-pretty]",
  description: "Prints the app's state, image, times, exit status, mounts, and what its user has noted on it.",
  flags: [APP_FLAG, FORMAT_FLAG],
  run: (input) => endingWithOne(() => statusCommand(input)),
};

function statusCommand(input: CommandInput): void {
  const { engine, flags, output } = input;
  const words = appWords(input, "print the status of");
  const format = jsonFormat(flags);
  const pod = retrievePod(podReader(engine.dataDir, linux), words.pod, "error getting app status");
  try {
    const manifest = podManifest(linux, pod);
    const app = manifest.apps.find(({ name }) => name === words.app);
    if (app === undefined) throw new RktError("NOT_FOUND", `error: nonexistent app ${quoted(words.app)}`);
    if (format !== undefined) output.stdout(formatted(appJson(linux, pod, manifest, app), format));
    else for (const line of statusLines(pod, manifest, app)) output.stdout(`${line}\n`);
  } finally {
    closePod(linux, pod);
  }
}

function statusLines(pod: Pod, manifest: PodManifest, app: RuntimeApp): string[] {
  const status = appStatus(linux, pod, app.name);
  const time = (name: string, at: bigint | undefined) => (at === undefined ? [] : [`${name}=${goTime(at)}`]);
  const mounts = app.mounts.map((mount) => {
    const { hostPath, readOnly } = mountDetails(manifest, app, mount);
    return `${printable(hostPath)}:${printable(mount.path)}:(read_only:${readOnly})`;
  });
  return [
    `name=${app.name}`,
    `state=${status.state}`,
    `image_id=${app.image.id}`,
    ...time("created_at", status.created),
    ...time("started_at", status.started),
    ...(status.state === "exited" ? time("finished_at", status.finished) : []),
    ...(status.exitCode === undefined ? [] : [`exit_code=${status.exitCode}`]),
    ...(mounts.length === 0 ? [] : [`mounts=${mounts.join(",")}`]),
    ...pairs("user_annotations", app.app?.userAnnotations),
    ...pairs("user_labels", app.app?.userLabels),
  ];
}

function pairs(name: string, list: readonly NameValue[] = []): string[] {
  return list.length === 0 ? [] : [`${name}=${list.map((pair) => printable(`${pair.name}:${pair.value}`)).join(",")}`];
}
