/** How the pod commands name pods: UUIDs (or prefixes) as words, or one UUID in a file. */

import { readFileSync, writeFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { CommandInput, FlagSpec, FlagValues } from "./command.ts";
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

/** The words of a command that takes one pod and more after it: the pod first, in `--uuid-file` or as a word. Throws as {@link podWords}; without a pod the list is empty. */
export function podFirst({ args, flags }: CommandInput): readonly string[] {
  const file = flags.string("uuid-file");
  return file === "" ? args : [readUuidFile(file), ...args];
}

/** {@link podWords} of a command that takes one pod. */
export function podWord(input: CommandInput): string {
  const [word, ...others] = podWords(input);
  if (word === undefined || others.length > 0) throw new CommandLineError("must provide exactly one pod UUID");
  return word;
}

export const UUID_FILE_SAVE_FLAG: FlagSpec = {
  name: "uuid-file-save",
  kind: "string",
  usage: "write the pod's UUID to this file",
};

/** Of a pod that has just been made: for whoever does not see what rkt prints. Throws SYSTEM_CALL. */
export function saveUuid(flags: FlagValues, uuid: string): void {
  const path = flags.string("uuid-file-save");
  if (path === "") return;
  try {
    writeFileSync(path, uuid, { mode: 0o644 });
  } catch (cause) {
    throw new RktError("SYSTEM_CALL", `Cannot write the pod's UUID to ${quoted(path)}`, { cause });
  }
}

function readUuidFile(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new RktError("NOT_FOUND", "unable to resolve UUID from file", { cause });
  }
}
