/** Fields of a configuration file, taken out one by one; what is wrong with them is complained about, and the check goes on. Pure. */

import type { Complain } from "./entry.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** A list of strings with at least one element. */
export function names(
  fields: Fields,
  name: string,
  without: string,
  complain: Complain,
): readonly string[] | undefined {
  const value = fields[name];
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) complain(name, without);
  else if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  else complain(name, "expected a list of strings");
  return undefined;
}

export function needed(credentials: Fields, name: string, without: string, complain: Complain): string {
  const value = text(credentials, name, complain, "credentials.");
  const absent = credentials[name] === undefined || credentials[name] === null || credentials[name] === "";
  if (absent) complain(`credentials.${name}`, without);
  return value;
}

/** A string; "" when it is absent, null, or complained about. */
export function text(fields: Fields, name: string, complain: Complain, prefix = ""): string {
  const value = fields[name] ?? "";
  if (typeof value === "string") return value;
  complain(`${prefix}${name}`, "expected a string");
  return "";
}

export function record(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

export function orUndefined(value: string): string | undefined {
  return value === "" ? undefined : value;
}
