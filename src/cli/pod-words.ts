/** How the pod commands name pods: UUIDs (or prefixes) as words, or one UUID in a file. */

import { readFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import type { CommandInput, FlagSpec } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";

export const UUID_FILE_FLAG: FlagSpec = {
  name: "uuid-file",
  kind: "string",
  usage: "read pod UUID from file instead of argument",
};

/** The words, or what is in `--uuid-file`; both or neither is a usage error. Throws NOT_FOUND `unable to resolve UUID from file`. */
export function podWords({ args, flags }: CommandInput): readonly string[] {
  const file = flags.string("uuid-file");
  if (args.length > 0 === (file !== "")) {
    throw new CommandLineError(args.length > 0 ? "give UUIDs or --uuid-file, not both" : "must provide the pod UUID");
  }
  return file === "" ? args : [readUuidFile(file)];
}

/** {@link podWords} of a command that takes one pod. */
export function podWord(input: CommandInput): string {
  const [word, ...others] = podWords(input);
  if (word === undefined || others.length > 0) throw new CommandLineError("must provide exactly one pod UUID");
  return word;
}

function readUuidFile(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new RktError("NOT_FOUND", "unable to resolve UUID from file", { cause });
  }
}
