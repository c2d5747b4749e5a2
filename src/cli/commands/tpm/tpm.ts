/** `rkt tpm`: the list of its subcommands. */

import type { Command } from "../../command.ts";

export const command: Command = {
  name: "tpm",
  summary: "Prove which pods were started since boot",
  usage: "[command]",
  description:
    "Where the configuration asks for it, pods are measured into the machine's TPM before they start. These commands show the log of it, hold it against the TPM, and prove it to others.",
  flags: [],
  subcommands: [
    {
      name: "key",
      summary: "Print the key that quotes are signed with",
      load: async () => (await import("./key.ts")).command,
    },
    {
      name: "log",
      summary: "Print what was measured since boot",
      load: async () => (await import("./log.ts")).command,
    },
    {
      name: "quote",
      summary: "Let the TPM sign what was measured since boot",
      load: async () => (await import("./quote.ts")).command,
    },
    {
      name: "replay",
      summary: "Check the log against the TPM",
      load: async () => (await import("./replay.ts")).command,
    },
    {
      name: "verify",
      summary: "Check a quote of another machine against a policy",
      load: async () => (await import("./verify.ts")).command,
    },
  ],
};
