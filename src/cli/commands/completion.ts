/** `rkt completion bash` */

import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { bashCompletion } from "../bash-completion.ts";
import { ROOT } from "../cli.ts";
import type { Command } from "../command.ts";
import { GLOBAL_FLAGS } from "../globals.ts";

export const command: Command = {
  name: "completion",
  summary: "Output shell completion code for the specified shell",
  usage: "SHELL",
  description: `This command outputs completion code for the specified shell (bash). It must be evaluated to provide completion of rkt's commands, flags, images and
pods:

	$ source <(rkt completion bash)

Or once for all users:

	$ rkt completion bash > /etc/bash_completion.d/rkt`,
  flags: [],
  async run({ args, output }) {
    const [shell, ...others] = args;
    if (shell === undefined) throw new RktError("USAGE", "shell type is not specified");
    if (others.length > 0) throw new RktError("USAGE", "too many arguments, only shell type is expected");
    if (shell !== "bash") throw new RktError("UNSUPPORTED", `'${printable(shell)}' shell is not supported`);
    output.stdout(await bashCompletion(ROOT, GLOBAL_FLAGS));
  },
};
