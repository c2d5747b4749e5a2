/** What can stand where a command's words stand, and the flags that can: what the completion scripts of all shells have in common. */

import type { Command, FlagSpec } from "../command.ts";
import { commandTree, type DeclaredCommand, shownFlags } from "../command-tree.ts";

/** Answered by `rkt complete`: images, or pods in one of the named states (none named: in any). */
const ASKED: Readonly<Record<string, readonly string[]>> = {
  "rkt app add": ["pods running", "images"],
  "rkt app exec": ["pods running"],
  "rkt app list": ["pods running"],
  "rkt app rm": ["pods running"],
  "rkt app start": ["pods running"],
  "rkt app status": ["pods running"],
  "rkt app stop": ["pods running"],
  "rkt attach": ["pods running"],
  "rkt cat-manifest": ["pods"],
  "rkt enter": ["pods running"],
  "rkt explain": ["pods"],
  "rkt export": ["pods exited"],
  "rkt fetch": ["images"],
  "rkt image cat-manifest": ["images"],
  "rkt image export": ["images"],
  "rkt image extract": ["images"],
  "rkt image push": ["images"],
  "rkt image render": ["images"],
  "rkt image rm": ["images"],
  "rkt image tag": ["images"],
  "rkt image verify": ["images"],
  "rkt logs": ["pods"],
  "rkt prepare": ["images"],
  "rkt rm": ["pods prepared exited"],
  "rkt run": ["images"],
  "rkt run-prepared": ["pods prepared"],
  "rkt seccomp-profile": ["pods"],
  "rkt status": ["pods"],
  "rkt stop": ["pods running"],
};

export const SHELLS = ["bash", "zsh", "fish"];

export interface Completion {
  readonly path: string;
  /** Words that are known, with what they mean. */
  readonly words: readonly { readonly word: string; readonly meaning: string }[];
  /** Arguments of `rkt complete`, whose answers are words too. */
  readonly asked: readonly string[];
  readonly flags: readonly CompletedFlag[];
}

export interface CompletedFlag {
  readonly name: string;
  readonly meaning: string;
  /** False where the flag may stand alone. */
  readonly needsValue: boolean;
}

/** One for each command, `rkt` first. */
export async function completions(root: Command, globals: readonly FlagSpec[]): Promise<Completion[]> {
  const tree = await commandTree(root);
  return tree.map((declared) => completionOf(declared, root, globals));
}

function completionOf({ path, command }: DeclaredCommand, root: Command, globals: readonly FlagSpec[]): Completion {
  const entries = path === "rkt help" ? root.subcommands : command.subcommands;
  const visible = (entries ?? []).filter(({ hidden }) => hidden !== true);
  const shells = path === "rkt completion" ? SHELLS.map((word) => ({ word, meaning: "a shell" })) : [];
  return {
    path,
    words: [...visible.map(({ name, summary }) => ({ word: name, meaning: summary })), ...shells],
    asked: ASKED[path] ?? [],
    flags: shownFlags([...command.flags, ...(command.imageFlags ?? []), ...globals]).map((flag) => ({
      name: flag.name,
      meaning: flag.usage,
      needsValue: flag.needsValue === true || (flag.kind !== "bool" && flag.bare === undefined),
    })),
  };
}

/** Every name that ASKED has: the test compares it with the commands that there are. */
export function askedPaths(): readonly string[] {
  return Object.keys(ASKED);
}
