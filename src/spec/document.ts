/**
 * Reading JSON documents from outside, field by field: every complaint names the document and the field's path. Small on purpose: these decoders are
 * on the way of every `rkt run`.
 *
 * As in the reference implementation, unknown fields are ignored and null means the same as absent. Unlike it, field names are matched exactly, so
 * that no two readers of one document see different values.
 */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { JsonValue } from "./json-value.ts";

/** One value in a document, and where it stands there. */
export interface Place {
  /** As in "Cannot read the image manifest: …". */
  readonly document: string;
  /** "" for the document itself, else like "app.exec[0]". */
  readonly path: string;
  readonly value: JsonValue | undefined;
}

/** Parses `text`; `document` names it in errors ("the image manifest"). Throws INVALID_INPUT. */
export function readDocument(text: string, document: string): Place {
  let value: JsonValue;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // Also a RangeError, when a hostile document nests deeper than the stack.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RktError("INVALID_INPUT", `Cannot read ${document}: it is not JSON (${reason})`);
  }
  const place = { document, path: "", value };
  if (!isObject(value)) throw complaint(place, `expected an object, got ${kindOf(value)}`);
  return place;
}

/** The error for `place`: "Cannot read the image manifest: app.user: reason". INVALID_INPUT unless `code` says otherwise. */
export function complaint(
  place: Place,
  reason: string,
  code: "INVALID_INPUT" | "MALICIOUS" | "UNSUPPORTED" = "INVALID_INPUT",
): RktError {
  const where = place.path === "" ? "" : `${place.path}: `;
  return new RktError(code, `Cannot read ${place.document}: ${where}${reason}`);
}

/** Field `key` of an object; its value is undefined when the field, or the object itself, is absent or null. */
export function field(place: Place, key: string): Place {
  const object = place.value;
  const path = place.path === "" ? key : `${place.path}.${key}`;
  if (isAbsent(object)) return { document: place.document, path, value: undefined };
  if (!isObject(object)) throw wrongType(place, "an object");
  // hasOwn: "constructor" and the like are not fields of the document.
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  return { document: place.document, path, value: value === null ? undefined : value };
}

/** True when the field is there and not null. */
export function isPresent(place: Place): boolean {
  return !isAbsent(place.value);
}

/** The members of a list; none when it is absent. */
export function items(place: Place): Place[] {
  const list = place.value;
  if (isAbsent(list)) return [];
  if (!Array.isArray(list)) throw wrongType(place, "a list");
  return list.map((value: JsonValue, index) => ({ document: place.document, path: `${place.path}[${index}]`, value }));
}

/** The fields of an object used as a map, sorted by name; none when it is absent. */
export function entries(place: Place): [string, Place][] {
  const object = place.value;
  if (isAbsent(object)) return [];
  if (!isObject(object)) throw wrongType(place, "an object");
  return Object.entries(object)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => [key, { document: place.document, path: `${place.path}[${quoted(key, 80)}]`, value }]);
}

/**
 * A text; "" when absent. A NUL is refused: C programs and the kernel end a text there, so a path or argument with one would be checked as one thing and
 * used as another.
 */
export function text(place: Place): string {
  const value = place.value;
  if (isAbsent(value)) return "";
  if (typeof value !== "string") throw wrongType(place, "a string");
  if (value.includes("\0")) throw complaint(place, "must not contain a NUL character");
  return value;
}

/** A text, or undefined when absent. */
export function optionalText(place: Place): string | undefined {
  return isPresent(place) ? text(place) : undefined;
}

/** A boolean; false when absent. */
export function flag(place: Place): boolean {
  return optionalFlag(place) ?? false;
}

export function optionalFlag(place: Place): boolean | undefined {
  const value = place.value;
  if (isAbsent(value)) return undefined;
  if (typeof value !== "boolean") throw wrongType(place, "a boolean");
  return value;
}

/** A whole number within the limits, or undefined when absent. */
export function optionalInteger(place: Place, min: number, max: number): number | undefined {
  const value = place.value;
  if (isAbsent(value)) return undefined;
  if (typeof value !== "number") throw wrongType(place, "a number");
  if (!Number.isSafeInteger(value)) throw complaint(place, "expected a whole number");
  if (value < min || value > max) throw complaint(place, `must be between ${min} and ${max}, got ${value}`);
  return value;
}

function wrongType(place: Place, expected: string): RktError {
  return complaint(place, `expected ${expected}, got ${kindOf(place.value)}`);
}

function kindOf(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function isAbsent(value: JsonValue | undefined): value is null | undefined {
  return value === null || value === undefined;
}

function isObject(value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
