/** `rkt help [COMMAND …]` */

import { ROOT } from "../cli.ts";
import type { Command } from "../command.ts";
import { GLOBAL_FLAGS } from "../globals.ts";
import { helpPage } from "../help.ts";
import { findEntry } from "../locate.ts";

export const command: Command = {
  name: "help",
  summary: "Show a list of commands or help for one command",
  usage: "[command]",
  description: "Show a list of commands or detailed help for one command.",
  flags: [],
  async run({ args, output }) {
    let subject = ROOT;
    let path = "rkt";
    for (const word of args) {
      const entry = findEntry(subject.subcommands ?? [], word, path);
      subject = await entry.load();
      path = `${path} ${entry.name}`;
    }
    output.stdout(helpPage(subject, path, GLOBAL_FLAGS));
  },
};
