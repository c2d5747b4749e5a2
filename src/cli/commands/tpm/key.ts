/** rkt tpm key: the public part of the attestation key. */

import { loadConfig, measurementSettings } from "../../../config/mod.ts";
import { linux } from "../../../host/mod.ts";
import { initDataDir } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";

export const command: Command = {
  name: "key",
  summary: "Print the key that quotes are signed with",
  usage: "",
  description:
    "The public part of this machine's attestation key, in PEM form. The TPM derives the key from its own seed: it is the same until the TPM gets another one, and its private part never leaves the TPM. A verifier has to get it by a way that it trusts.",
  flags: [],
  requiresRoot: true,
  run: keyCommand,
};

async function keyCommand({ engine, args, output }: CommandInput): Promise<void> {
  if (args.length > 0) throw new CommandLineError("rkt tpm key takes no arguments");
  initDataDir(engine.dataDir, linux);
  const { publicKey } = await import("../../../measure/mod.ts");
  output.stdout(await publicKey(linux, engine.dataDir, measurementSettings(loadConfig(engine))));
}
