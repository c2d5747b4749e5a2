/** `rkt completion SHELL` */

import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { ROOT } from "../cli.ts";
import type { Command } from "../command.ts";
import { bashCompletion } from "../completion/bash.ts";
import { fishCompletion } from "../completion/fish.ts";
import { completions } from "../completion/words.ts";
import { zshCompletion } from "../completion/zsh.ts";
import { GLOBAL_FLAGS } from "../globals.ts";

const SCRIPTS = new Map([
  ["bash", bashCompletion],
  ["zsh", zshCompletion],
  ["fish", fishCompletion],
]);

export const command: Command = {
  name: "completion",
  summary: "Output shell completion code for the specified shell",
  usage: "SHELL",
  description: `This command outputs completion code for the specified shell (bash, zsh or fish). It must be evaluated to provide completion of rkt's commands, flags, images and pods:

	$ source <(rkt completion bash)
	$ source <(rkt completion zsh)
	$ rkt completion fish | source

Or once for all users:

	$ rkt completion bash > /etc/bash_completion.d/rkt
	$ rkt completion zsh > /usr/local/share/zsh/site-functions/_rkt
	$ rkt completion fish > /etc/fish/completions/rkt.fish`,
  flags: [],
  async run({ args, output }) {
    const [shell, ...others] = args;
    if (shell === undefined) throw new RktError("USAGE", "shell type is not specified");
    if (others.length > 0) throw new RktError("USAGE", "too many arguments, only shell type is expected");
    const script = SCRIPTS.get(shell);
    if (script === undefined) throw new RktError("UNSUPPORTED", `'${printable(shell)}' shell is not supported`);
    output.stdout(script(await completions(ROOT, GLOBAL_FLAGS)));
  },
};
