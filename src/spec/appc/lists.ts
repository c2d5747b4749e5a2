/** The lists of names and values in manifests: labels, annotations, environment, user labels; and the hash form of image ids. */

import type { Labels } from "../../core/spine.ts";
import { quoted } from "../../core/text.ts";
import { complaint, entries, field, items, type Place, text } from "../document.ts";
import { ordered, type Writable } from "../json-text.ts";
import { type AcName, acIdentifierProblem, acNameProblem, isAcName } from "./names.ts";
import { osArchProblem, VALID_OS_ARCH } from "./os-arch.ts";
import type { NameValue } from "./types.ts";

/** Labels: identifiers, each once, none called "name", a known os and arch (schema/types/labels.go). */
export function readLabels(place: Place): Labels {
  const labels = readNamed(place, "labels");
  if (labels.some((label) => label.name === "name")) throw complaint(place, 'invalid label name: "name"');
  const problem = osArchProblem(labels, VALID_OS_ARCH);
  if (problem !== undefined) throw complaint(place, problem);
  return labels;
}

/** Annotations: identifiers, each once; dates and URLs where the specification defines them (schema/types/annotations.go). */
export function readAnnotations(place: Place): NameValue[] {
  const annotations = readNamed(place, "annotations");
  for (const { name, value } of annotations) {
    if (name === "created" && !isRfc3339(value)) throw complaint(place, `bad Date: ${quoted(value)}`);
    if ((name === "homepage" || name === "documentation") && !/^https?:/i.test(value)) {
      throw complaint(place, "bad URL scheme, must be http/https");
    }
  }
  return annotations;
}

function readNamed(place: Place, what: string): NameValue[] {
  const list = items(place).map((item) => ({
    name: readIdentifier(field(item, "name")),
    value: text(field(item, "value")),
  }));
  refuseTwice(place, list, what);
  return list;
}

/** Environment variables: names as a shell takes them, plus "." and "-", each once (schema/types/environment.go). */
export function readEnvironment(place: Place): NameValue[] {
  const list = items(place).map((item) => ({ name: text(field(item, "name")), value: text(field(item, "value")) }));
  for (const { name } of list) {
    if (name === "") throw complaint(place, "environment variable name must not be empty");
    if (!isEnvironmentName(name)) {
      throw complaint(place, `environment variable does not have valid identifier ${quoted(name)}`);
    }
  }
  refuseTwice(place, list, "environment variable");
  return list;
}

export function isEnvironmentName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z_0-9.-]*$/.test(name);
}

/** User labels and user annotations: a map of any names to texts, given sorted by name. */
export function readUserMap(place: Place): NameValue[] {
  return entries(place).map(([name, value]) => ({ name, value: text(value) }));
}

/** An AC name that must be there. */
export function readName(place: Place): AcName {
  const name = text(place);
  if (isAcName(name)) return name;
  throw complaint(place, acNameProblem(name) ?? "bad name");
}

/** An AC identifier that must be there. */
export function readIdentifier(place: Place): string {
  const name = text(place);
  const problem = acIdentifierProblem(name);
  if (problem !== undefined) throw complaint(place, problem);
  return name;
}

/** An image id `sha512-HEX`, whole or cut (schema/types/hash.go). Hexadecimal digits only: the text becomes part of a file name. */
export function readImageId(place: Place): string {
  const hash = readHash(place);
  if (!/^sha512-[0-9a-f]{1,128}$/.test(hash)) throw complaint(place, "badly formatted hash string");
  return hash;
}

/** A hash by its form only, for a dependency's id, which rkt does not use (the specification's own example is "sha512-..."). */
export function readHash(place: Place): string {
  const hash = text(place);
  const [type = "", value = "", ...rest] = hash.split("-");
  if (!hash.includes("-") || rest.length > 0) throw complaint(place, "badly formatted hash string");
  if (type === "") throw complaint(place, "unexpected empty hash type");
  if (type !== "sha512") throw complaint(place, `unrecognized hash type: ${quoted(type)}`);
  if (value === "") throw complaint(place, "unexpected empty hash value");
  return hash;
}

/** A semantic version other than 0.0.0 (schema/types/semver.go). */
export function readVersion(place: Place): string {
  const version = text(place);
  if (version === "") throw complaint(place, "acVersion must be set");
  if (!/^\d{1,15}\.\d{1,15}\.\d{1,15}(-[^+]*)?(\+.*)?$/s.test(version)) throw complaint(place, "SemVer is bad");
  if (/^0+\.0+\.0+$/.test(version)) throw complaint(place, "SemVer cannot be zero");
  return version;
}

/** True for a date and time as RFC 3339 has them. */
export function isRfc3339(value: string): boolean {
  return RFC3339.test(value) && !Number.isNaN(Date.parse(value));
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

function refuseTwice(place: Place, list: readonly NameValue[], what: string): void {
  const seen = new Set<string>();
  for (const { name } of list) {
    if (seen.has(name)) throw complaint(place, `duplicate ${what} of name ${quoted(name)}`);
    seen.add(name);
  }
}

/** A list of names and values for output; undefined when empty (Go's omitempty). */
export function writeNamed(list: readonly NameValue[]): Writable | undefined {
  return list.length === 0 ? undefined : list.map(({ name, value }) => ordered(["name", name], ["value", value]));
}

/** A map for output, sorted by name as Go sorts maps; undefined when empty. */
export function writeUserMap(list: readonly NameValue[]): Writable | undefined {
  if (list.length === 0) return undefined;
  const sorted = [...list].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return new Map(sorted.map(({ name, value }) => [name, value]));
}

/** A list for output; undefined when empty. */
export function writeList<T>(list: readonly T[], write: (item: T) => Writable): Writable | undefined {
  return list.length === 0 ? undefined : list.map(write);
}
