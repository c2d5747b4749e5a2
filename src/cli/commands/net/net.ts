/** `rkt net`: the list of its subcommands. */

import type { Command } from "../../command.ts";

export const command: Command = {
  name: "net",
  summary: "Check and mend the networks of pods",
  usage: "[command]",
  description: "This subcommand looks at the networks of the pods of this host.",
  flags: [],
  subcommands: [
    {
      name: "check",
      summary: "Check the networks of running pods, and look for what dead ones left",
      load: async () => (await import("./check.ts")).command,
    },
    {
      name: "repair",
      summary: "Mend the networks of running pods, and remove what dead ones left",
      load: async () => (await import("./repair.ts")).command,
    },
  ],
};
