/** rkt tpm log: what was measured since boot, as it was recorded. */

import { loadConfig, measurementSettings } from "../../../config/mod.ts";
import { printable } from "../../../core/text.ts";
import type { LogRecord, MeasuredEvent, MeasuredImage } from "../../../measure/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";

export const command: Command = {
  name: "log",
  summary: "Print what was measured since boot",
  usage: "[--format=json|json-pretty]",
  description: `One line for each record: its number, when it was made, and what was measured. With --format=json a list of records as the TCG's Canonical Event Log has them.

Nothing is checked here: \`rkt tpm replay\` holds the log against the TPM.`,
  flags: [FORMAT_FLAG],
  requiresRoot: true,
  run: logCommand,
};

async function logCommand({ engine, flags, args, output }: CommandInput): Promise<void> {
  if (args.length > 0) throw new CommandLineError("rkt tpm log takes no arguments");
  const format = jsonFormat(flags);
  const { eventOrUndefined, imageText, logPath, logPlace, readLog, recordJson } = await import(
    "../../../measure/mod.ts"
  );
  const { records } = readLog(logPath(logPlace(engine.dataDir, measurementSettings(loadConfig(engine)))));
  if (format !== undefined) output.stdout(formatted(records.map(recordJson), format));
  else for (const record of records) output.stdout(recordText(record, eventOrUndefined(record.text), imageText));
}

type ImageText = (image: MeasuredImage) => string;

/** A line, and one below it for the stage1 and each app. */
function recordText({ number, time, text }: LogRecord, event: MeasuredEvent | undefined, imageText: ImageText): string {
  const [first = "", ...others] = eventLines(event, text, imageText).map((line) => printable(line, 600));
  const lines = [`${number}\t${new Date(time / 1000).toISOString()}\t${first}`, ...others.map((line) => `\t\t${line}`)];
  return lines.map((line) => `${line}\n`).join("");
}

function eventLines(event: MeasuredEvent | undefined, text: string, imageText: ImageText): string[] {
  switch (event?.kind) {
    case "boot":
      return [`boot ${event.bootId}`];
    case "found":
      return ["the register was extended by others"];
    case "rkt1":
      return ["the pod before, in rkt 1.x's words"];
    case "pod":
    case "app":
      return [
        `${event.kind} ${event.uuid}`,
        ...(event.stage1 === undefined ? [] : [`stage1 ${imageText(event.stage1)}`]),
        ...event.apps.map((app) => `app ${app.app} ${imageText(app)}`),
      ];
    default:
      return [`unknown: ${text}`];
  }
}
