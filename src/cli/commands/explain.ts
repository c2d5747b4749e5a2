/** rkt explain: why the apps of a pod ended. */

import { kernelMessages } from "../../host/kernel-log.ts";
import { linux } from "../../host/mod.ts";
import { type AppExplanation, explainApp } from "../../pod/explain.ts";
import { closePod, manifestExpected, podManifest, podReader, retrievePod } from "../../pod/mod.ts";
import { ordered } from "../../spec/json-text.ts";
import type { Command, CommandInput } from "../command.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../output-format.ts";
import { lostSupervisorNote } from "../pod-text.ts";
import { podWord, UUID_FILE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "explain",
  summary: "Tell why the apps of a pod ended",
  usage: "[--format=json] --uuid-file=FILE | UUID",
  description:
    "Gathers what the pod's supervisor recorded about each app, the limits it had, and what the kernel said, and names a remedy where there is one. The kernel's messages are those that are still in its buffer: ask soon, and as root.",
  flags: [FORMAT_FLAG, UUID_FILE_FLAG],
  run: explainCommand,
};

async function explainCommand(input: CommandInput): Promise<void> {
  const { engine, flags, output } = input;
  const format = jsonFormat(flags);
  const pod = retrievePod(podReader(engine.dataDir, linux), podWord(input));
  try {
    const messages = kernelMessages();
    const apps = manifestExpected(pod) ? podManifest(linux, pod).apps : [];
    const explained = apps.map((app) => explainApp(linux, pod, app, messages ?? []));
    if (format !== undefined) {
      output.stdout(
        formatted(ordered(["name", pod.uuid], ["state", pod.state], ["apps", explained.map(json)]), format),
      );
      return;
    }
    output.stdout(`pod ${pod.uuid} is ${pod.state}\n${explained.map(text).join("")}`);
    if (pod.supervisorLost) output.error(lostSupervisorNote(pod));
    if (messages === undefined) output.error("the kernel's messages cannot be read: not allowed, try as root");
  } finally {
    closePod(linux, pod);
  }
}

function text({ app, text, remedy, kernel }: AppExplanation): string {
  return [
    `app ${app}: ${text}`,
    ...(remedy === undefined ? [] : [`  hint: ${remedy}`]),
    ...kernel.map((message) => `  kernel: ${message}`),
    "",
  ].join("\n");
}

function json({ app, status, text, remedy, kernel }: AppExplanation) {
  return ordered(
    ["name", app],
    ["state", status.state],
    ["exit_code", status.exitCode],
    ["signal", status.signal],
    ["oom", status.oom ? true : undefined],
    ["explanation", text],
    ["hint", remedy],
    ["kernel", kernel],
  );
}
