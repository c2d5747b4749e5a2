/** rkt tpm replay: does the log explain what the TPM holds? */

import { loadConfig, measurementSettings } from "../../../config/mod.ts";
import { printable } from "../../../core/text.ts";
import { linux } from "../../../host/mod.ts";
import type { BankValues, Verdict } from "../../../measure/mod.ts";
import { ordered, type Writable } from "../../../spec/json-text.ts";
import { initDataDir } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";

export const command: Command = {
  name: "replay",
  summary: "Check the log against the TPM",
  usage: "[--format=json|json-pretty]",
  description: `Computes what the register must hold after every record of the log, and compares it with what the TPM says. Changes nothing.

The exit status is 0 when the log explains the register; also when rkt was killed, or the TPM did not answer, between the last record and its extension: the next pod's start makes up for it. It is 1 when the register is not explained, and 254 when that could not be found out.`,
  flags: [FORMAT_FLAG],
  requiresRoot: true,
  run: replayCommand,
};

const UNEXPLAINED = 1;

async function replayCommand({ engine, flags, args, output }: CommandInput): Promise<number> {
  if (args.length > 0) throw new CommandLineError("rkt tpm replay takes no arguments");
  const format = jsonFormat(flags);
  const { lookAtLog } = await import("../../../measure/mod.ts");
  const settings = measurementSettings(loadConfig(engine));
  initDataDir(engine.dataDir, linux);
  const { records, torn, register, verdict } = await lookAtLog(linux, engine.dataDir, settings);
  const about = { records: records.length, torn, pcr: settings.pcr };
  if (format !== undefined) output.stdout(formatted(asJson(verdict, register, about), format));
  else for (const line of asText(verdict, register, about)) output.stdout(`${printable(line, 1000)}\n`);
  return verdict.kind === "unexplained" ? UNEXPLAINED : 0;
}

interface About {
  readonly records: number;
  readonly torn: boolean;
  readonly pcr: number;
}

function asText(verdict: Verdict, register: BankValues, { records, torn, pcr }: About): string[] {
  const values = [...register].map(([bank, value]) => `${bank}:${value}`);
  const cut = torn
    ? ["a record behind the last one was cut off while it was written; nothing was extended for it"]
    : [];
  switch (verdict.kind) {
    case "explained":
      return [...values, ...cut, `explained: the ${records} records lead to what PCR ${pcr} holds`];
    case "interrupted":
      return [
        ...values,
        ...cut,
        `explained: the first ${records - 1} of ${records} records lead to what PCR ${pcr} holds; the last was not extended`,
      ];
    case "unexplained":
      return [...values, ...cut, `not explained: the log does not account for PCR ${pcr}`, ...verdict.reasons];
  }
}

function asJson(verdict: Verdict, register: BankValues, { records, torn, pcr }: About): Writable {
  return ordered(
    ["verdict", verdict.kind],
    ["pcr", pcr],
    ["register", ordered(...[...register].map(([bank, value]): [string, Writable] => [bank, value]))],
    ["records", records],
    ["cut_off", torn],
    ["reasons", verdict.kind === "unexplained" ? [...verdict.reasons] : undefined],
  );
}
