/** rkt tpm quote: what was measured, signed by the TPM. */

import { writeFileSync } from "node:fs";
import { loadConfig, measurementSettings } from "../../../config/mod.ts";
import { RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { linux } from "../../../host/mod.ts";
import { initDataDir } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";

export const command: Command = {
  name: "quote",
  summary: "Let the TPM sign what was measured since boot",
  usage: "--nonce=HEX [--output=FILE]",
  description: `Writes a quote: the register's value and the nonce, signed by the TPM, and the log of this boot. \`rkt tpm verify\` checks it on another machine, without a TPM.

The nonce is chosen by whoever verifies, anew each time: 8 to 32 bytes as hexadecimal digits. It proves that the quote is not an old one. The log has the pods' UUIDs, images and stage1 arguments.`,
  flags: [
    { name: "nonce", kind: "string", usage: "the verifier's nonce, 8 to 32 bytes in hexadecimal" },
    { name: "output", kind: "string", usage: "write the quote to this file instead of standard output" },
  ],
  requiresRoot: true,
  run: quoteCommand,
};

async function quoteCommand({ engine, flags, args, output }: CommandInput): Promise<void> {
  if (args.length > 0) throw new CommandLineError("rkt tpm quote takes no arguments");
  if (!flags.given("nonce")) throw new CommandLineError("--nonce required");
  const { formatQuote, makeQuote, parseNonce } = await import("../../../measure/mod.ts");
  const nonce = parseNonce(flags.string("nonce"));
  const settings = measurementSettings(loadConfig(engine));
  initDataDir(engine.dataDir, linux);
  const text = formatQuote(await makeQuote(linux, engine.dataDir, settings, nonce));
  if (!flags.given("output")) return output.stdout(text);
  const file = flags.string("output");
  try {
    writeFileSync(file, text, { mode: 0o600 });
  } catch (cause) {
    throw new RktError("SYSTEM_CALL", `Cannot write the quote to ${quoted(file)}`, { cause });
  }
}
