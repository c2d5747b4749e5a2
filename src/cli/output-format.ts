/** `--format json|json-pretty`: JSON as rkt prints it. */

import { jsonText, type Writable } from "../spec/json-text.ts";
import type { FlagSpec, FlagValues } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";

export const FORMAT_FLAG: FlagSpec = {
  name: "format",
  kind: "string",
  usage: "choose the output format: 'json' or 'json-pretty'; text when empty",
};

export type JsonFormat = "json" | "json-pretty";

/** Undefined: text. Throws USAGE `Invalid format option: x`. */
export function jsonFormat(flags: FlagValues): JsonFormat | undefined {
  const format = flags.string("format");
  if (format === "") return undefined;
  if (format === "json" || format === "json-pretty") return format;
  throw new CommandLineError(`Invalid format option: ${format}`);
}

export function formatted(value: Writable, format: JsonFormat): string {
  return `${jsonText(value, format === "json-pretty" ? "\t" : "")}\n`;
}
