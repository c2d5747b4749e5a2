/** The declarations of all commands, for what is made from them: help pages, manual pages, completions. */

import type { Command, FlagSpec } from "./command.ts";

/** A command that users see, with its full name ("rkt image list"). */
export interface DeclaredCommand {
  readonly path: string;
  readonly command: Command;
}

/** `root` and everything below it, in the order of the lists. Loads every command. */
export async function commandTree(root: Command, path = "rkt"): Promise<DeclaredCommand[]> {
  const visible = (root.subcommands ?? []).filter(({ hidden }) => hidden !== true);
  const below = await Promise.all(
    visible.map(async (entry) => commandTree(await entry.load(), `${path} ${entry.name}`)),
  );
  return [{ path, command: root }, ...below.flat()];
}

/** Flags that users see, by name. One that is both the pod's and an image's (`--mount`) is there once. */
export function shownFlags(flags: readonly FlagSpec[]): FlagSpec[] {
  return flags
    .filter((flag, index) => flags.findIndex(({ name }) => name === flag.name) === index)
    .filter(({ hidden, deprecated }) => hidden !== true && deprecated === undefined)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
