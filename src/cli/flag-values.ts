/** The values of one set of flags: what a command (FlagValues) or an image of it sees. */

import { internalError } from "../core/errors.ts";
import { parseGoBool } from "../core/go-bool.ts";
import type { FlagSpec, FlagValues } from "./command.ts";
import { parseDuration } from "./duration.ts";

/** Flags by name as they were given, each value in order. */
export type GivenFlags = Map<string, string[]>;

/** A view of `given` under the declarations `specs`. Every value was checked by {@link checkValue} before. */
export function flagValues(specs: readonly FlagSpec[], given: GivenFlags): FlagValues {
  const values = (name: string): readonly string[] => given.get(name) ?? [];
  const last = (name: string): string => values(name).at(-1) ?? defaultOf(specs, name);
  return {
    bool: (name) => parseGoBool(last(name), "USAGE"),
    string: last,
    list: (name) => {
      const spec = specOf(specs, name);
      const texts = given.has(name) ? values(name) : [defaultOf(specs, name)].filter((text) => text !== "");
      const counted = spec.repeatable === true ? texts : texts.slice(-1);
      return spec.kind === "list" ? counted.flatMap(splitList) : counted;
    },
    duration: (name) => parseDuration(last(name)),
    given: (name) => {
      specOf(specs, name);
      return given.has(name);
    },
  };
}

/** Throws USAGE unless `value` is of the flag's kind. */
export function checkValue(spec: FlagSpec, value: string): void {
  if (spec.kind === "bool") parseGoBool(value, "USAGE");
  if (spec.kind === "duration") parseDuration(value);
}

function specOf(specs: readonly FlagSpec[], name: string): FlagSpec {
  const spec = specs.find((one) => one.name === name);
  if (spec === undefined) throw internalError(`the flag --${name} is read, but not declared`);
  return spec;
}

function defaultOf(specs: readonly FlagSpec[], name: string): string {
  const spec = specOf(specs, name);
  if (spec.default !== undefined) return spec.default;
  return spec.kind === "bool" ? "false" : spec.kind === "duration" ? "0" : "";
}

function splitList(text: string): string[] {
  return text === "" ? [] : text.split(",");
}
