/** rkt tpm verify: may what ran on another machine have run there? */

import { readFileSync, statSync } from "node:fs";
import { RktError } from "../../../core/errors.ts";
import { printable, quoted } from "../../../core/text.ts";
import type { MeasuredImage, VerifiedQuote } from "../../../measure/mod.ts";
import { ordered, type Writable } from "../../../spec/json-text.ts";
import type { Command, CommandInput, FlagValues } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";

export const command: Command = {
  name: "verify",
  summary: "Check a quote of another machine against a policy",
  usage: "--policy=FILE --key=FILE --nonce=HEX [--format=json|json-pretty] QUOTE",
  description: `Checks, in this order: that the quote is signed by the machine's attestation key (what \`rkt tpm key\` printed there), that it was made for this nonce, that the log leads to the value of the register that the TPM has signed, and that the policy allows each image and stage1 of the log. Needs neither root nor a TPM.

The exit status is 0 when the quote is accepted, 1 when it is not, and 254 when it could not be judged (a file that cannot be read).`,
  flags: [
    { name: "policy", kind: "string", usage: "file with what may have run" },
    { name: "key", kind: "string", usage: "file with the machine's attestation key in PEM form" },
    { name: "nonce", kind: "string", usage: "the nonce that the quote was asked for with" },
    FORMAT_FLAG,
  ],
  run: verifyCommand,
};

const NOT_ACCEPTED = 1;
const LARGEST_QUOTE = 512 * 1024 * 1024;
const LARGEST_FILE = 16 * 1024 * 1024;

async function verifyCommand({ flags, args, output }: CommandInput): Promise<number> {
  const [file, ...others] = args;
  if (file === undefined || others.length > 0) throw new CommandLineError("must provide exactly one quote");
  const [policyFile, keyFile, nonceText] = [needed(flags, "policy"), needed(flags, "key"), needed(flags, "nonce")];
  const format = jsonFormat(flags);
  const { imageText, parseAttestationKey, parseNonce, parseQuote, parseQuotePolicy, verifyQuote } = await import(
    "../../../measure/mod.ts"
  );
  const nonce = parseNonce(nonceText);
  const key = parseAttestationKey(content(keyFile, LARGEST_FILE));
  const policy = parseQuotePolicy(content(policyFile, LARGEST_FILE));
  const verified = verifyQuote(parseQuote(content(file, LARGEST_QUOTE)), key, nonce, policy);
  if (format !== undefined) output.stdout(formatted(asJson(verified), format));
  else for (const line of asText(verified, imageText)) output.stdout(`${printable(line, 1000)}\n`);
  return verified.reasons.length === 0 ? 0 : NOT_ACCEPTED;
}

function needed(flags: FlagValues, name: string): string {
  const value = flags.string(name);
  if (value === "") throw new CommandLineError(`--${name} required`);
  return value;
}

function content(file: string, limit: number): string {
  try {
    if (statSync(file).size <= limit) return readFileSync(file, "utf8");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read ${quoted(file)}`, { cause });
  }
  throw new RktError("INVALID_INPUT", `Cannot read ${quoted(file)}: larger than ${limit} bytes`);
}

function asText({ reasons, proven }: VerifiedQuote, imageText: (image: MeasuredImage) => string): string[] {
  const told =
    proven === undefined
      ? []
      : [
          `reset ${proven.clock.resetCount} of the TPM, ${proven.log.steps.length} records`,
          ...ran(proven.log.steps, imageText).map(([what, times]) => `${times} x ${what}`),
        ];
  return reasons.length === 0 ? [...told, "accepted"] : [...told, "not accepted", ...reasons];
}

/** What ran, and how often. */
function ran(
  steps: NonNullable<VerifiedQuote["proven"]>["log"]["steps"],
  imageText: (image: MeasuredImage) => string,
): [string, number][] {
  const counts = new Map<string, number>();
  const count = (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1);
  for (const { event } of steps) {
    if (event?.kind !== "pod" && event?.kind !== "app") continue;
    if (event.stage1 !== undefined) count(`stage1 ${imageText(event.stage1)}`);
    for (const app of event.apps) count(`image ${imageText(app)}`);
  }
  return [...counts];
}

function asJson({ reasons, proven }: VerifiedQuote): Writable {
  return ordered(
    ["accepted", reasons.length === 0],
    ["reasons", [...reasons]],
    ["reset_count", proven?.clock.resetCount],
    ["restart_count", proven?.clock.restartCount],
    ["clock_milliseconds", proven?.clock.milliseconds],
    ["records", proven?.log.steps.length],
    ["events", proven?.log.steps.map(({ record, event }) => eventJson(record.text, event?.kind))],
  );
}

/** All but rkt 1.x's words are JSON, as the check of the log has found. */
function eventJson(text: string, kind: string | undefined): Writable {
  return kind === "rkt1" ? text : (JSON.parse(text) as Writable);
}
