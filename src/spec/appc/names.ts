/**
 * Names of the App Container specification (spec/types.md, "AC Identifier Type", "AC Name Type").
 *
 * The specification's regular expressions refuse two separators in a row ("a--b"); its reference implementation (schema/types/acname.go) and so every rkt 1.x
 * accepted them, and converted images have them ("volume-data--x"). Here, too, characters and edges count.
 */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";

/** Name of an app, volume, mount point or port. Branded: it becomes part of paths and unit names, and only {@link parseAcName} makes one. */
export type AcName = string & { readonly acName: unique symbol };

export function isAcName(text: string): text is AcName {
  return acNameProblem(text) === undefined;
}

/** Why `text` is not an AC name, in the words of the reference implementation. */
export function acNameProblem(text: string): string | undefined {
  if (text === "") return "ACName cannot be empty";
  if (/[^a-z0-9-]/.test(text)) return 'ACName must contain only lower case alphanumeric characters plus "-"';
  if (/^-|-$/.test(text)) return "ACName must start and end with only lower case alphanumeric characters";
  return undefined;
}

/** Parses an AC name. Throws INVALID_INPUT. */
export function parseAcName(text: string): AcName {
  if (isAcName(text)) return text;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as a name: ${acNameProblem(text)}`);
}

/** Why `text` is not an AC identifier (image, label and annotation names), in the words of the reference implementation. */
export function acIdentifierProblem(text: string): string | undefined {
  if (text === "") return "ACIdentifier cannot be empty";
  if (/[^a-z0-9\-._~/]/.test(text)) {
    return 'ACIdentifier must contain only lower case alphanumeric characters plus "-._~/"';
  }
  if (/^[-._~/]|[-._~/]$/.test(text)) {
    return "ACIdentifier must start and end with only lower case alphanumeric characters";
  }
  // Identifiers name trust prefixes and export files: "a/../../etc" must not climb. The specification's own expression refuses it as well.
  if (/(^|\/)\.{1,2}(\/|$)/.test(text)) return 'ACIdentifier must not contain "." or ".." as a path element';
  return undefined;
}

export function isAcIdentifier(text: string): boolean {
  return acIdentifierProblem(text) === undefined;
}

/** Checks an AC identifier and returns it. Throws INVALID_INPUT. */
export function parseAcIdentifier(text: string): string {
  const problem = acIdentifierProblem(text);
  if (problem === undefined) return text;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as an identifier: ${problem}`);
}

/** Lower case, every other character "-", edges cut ("Foo.com/Bar" → "foo-com-bar"). Throws INVALID_INPUT when nothing is left. */
export function sanitizeAcName(text: string): AcName {
  const clean = text
    .toLowerCase()
    .replace(/[^a-z0-9-]/gu, "-")
    .replace(/^-+|-+$/g, "");
  if (isAcName(clean)) return clean;
  throw nothingLeft(text);
}

/** Lower case, every other character "_", edges cut ("localhost:5000/App" → "localhost_5000/app"). Throws INVALID_INPUT when nothing is left. */
export function sanitizeAcIdentifier(text: string): string {
  const clean = text
    .toLowerCase()
    .replace(/[^a-z0-9\-._~/]/gu, "_")
    .replace(/(^|\/)\.{1,2}(?=\/|$)/g, "$1_")
    .replace(/^[-._~/]+|[-._~/]+$/g, "");
  if (clean === "") throw nothingLeft(text);
  return clean;
}

function nothingLeft(text: string): RktError {
  return new RktError(
    "INVALID_INPUT",
    `Cannot make a name of ${quoted(text)}: must contain at least one valid character`,
  );
}
