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
  const { currentBootId, eventOrUndefined, logPath, readLog, recordJson } = await import("../../../measure/mod.ts");
  const { pcr } = measurementSettings(loadConfig(engine));
  const { records } = readLog(logPath({ dataDir: engine.dataDir, pcr, bootId: currentBootId() }));
  if (format !== undefined) output.stdout(formatted(records.map(recordJson), format));
  else for (const record of records) output.stdout(recordText(record, eventOrUndefined(record.text)));
}

/** A line, and one below it for each app. */
function recordText({ number, time, text }: LogRecord, event: MeasuredEvent | undefined): string {
  return `${number}\t${new Date(time / 1000).toISOString()}\t${eventText(event, text)}\n`;
}

function eventText(event: MeasuredEvent | undefined, text: string): string {
  if (event === undefined) return `unknown: ${printable(text, 100)}`;
  switch (event.kind) {
    case "boot":
      return `boot ${printable(event.bootId)}`;
    case "found":
      return "the register was extended by others";
    case "rkt1":
      return "the pod before, as rkt 1.x measured it";
    default: {
      const { kind, uuid, stage1, apps } = event;
      const parts = [
        `${kind} ${printable(uuid)}`,
        ...(stage1 === undefined ? [] : [`stage1 ${imageText(stage1)}`]),
        ...apps.map((app) => `app ${printable(app.app)} ${imageText(app)}`),
      ];
      return parts.join("\n\t\t");
    }
  }
}

function imageText({ id, digest, name, signer }: MeasuredImage): string {
  const about = [name, digest ?? id, signer === undefined ? "signer unknown" : `(${signer})`];
  return printable(about.filter((word) => word !== undefined).join(" "), 600);
}
