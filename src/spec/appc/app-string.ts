/** Image names as users write them: `example.com/app:v1,arch=amd64` (discovery/parse.go of appc/spec). */

import { RktError } from "../../core/errors.ts";
import type { Labels } from "../../core/spine.ts";
import { quoted } from "../../core/text.ts";
import { acIdentifierProblem } from "./names.ts";

export interface NamedImage {
  readonly name: string;
  /** In the order given; `:v1` is the label `version`. Without defaults: see `withHostLabels`. */
  readonly labels: Labels;
}

/** Parses `name[:version][,label=value…]`. Throws INVALID_INPUT in rkt's words. */
export function parseAppString(app: string): NamedImage {
  const comma = app.indexOf(",");
  const colon = app.indexOf(":");
  if (comma >= 0 && colon > comma) {
    throw malformed("malformed app string - colon may appear only right after the app name");
  }
  if (colon !== app.lastIndexOf(":")) throw malformed("malformed app string - colon may appear at most once");
  const [name = "", ...parts] = app.replace(":", ",version=").split(",");
  const labels = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    if (equals < 0) {
      throw malformed(`malformed string ${quoted(app)} - has a label without a value: ${quoted(part)}`);
    }
    const label = part.slice(0, equals);
    const value = part.slice(equals + 1);
    const before = labels.get(label) ?? (label === "name" ? name : undefined);
    if (before !== undefined) {
      throw malformed(`label ${label} with multiple values [${quoted(before)} ${quoted(value)}]`);
    }
    requireIdentifier(label);
    labels.set(label, value);
  }
  requireIdentifier(name);
  return { name, labels: [...labels].map(([label, value]) => ({ name: label, value })) };
}

/** `name:version` when there is a version, else `name`: how lists show an image. */
export function shortAppString({ name, labels }: NamedImage): string {
  const version = labels.find((label) => label.name === "version")?.value ?? "";
  return version === "" ? name : `${name}:${version}`;
}

/** Every label, in a form that {@link parseAppString} takes: `name:version,os=linux`. */
export function formatAppString(image: NamedImage): string {
  const others = image.labels.filter((label) => label.name !== "version");
  return [shortAppString(image), ...others.map(({ name, value }) => `${name}=${value}`)].join(",");
}

function requireIdentifier(name: string): void {
  const problem = acIdentifierProblem(name);
  if (problem !== undefined) throw malformed(`Cannot use ${quoted(name)} in an image name: ${problem}`);
}

function malformed(message: string): RktError {
  return new RktError("INVALID_INPUT", message);
}
