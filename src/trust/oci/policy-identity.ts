/** "signedIdentity" of a policy.json, and the strictness of its reader: a misspelt field must not turn a rule off. */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { entries, field, type Place, text } from "../../spec/document.ts";
import type { ImageName } from "./image-name.ts";
import type { NameRule } from "./name-rule.ts";

/** Throws INVALID_CONFIG. */
export function readSignedIdentity(place: Place, image: ImageName | undefined): NameRule {
  const type = text(field(place, "type"));
  const value = (key: string): string => {
    const found = text(field(place, key));
    if (found === "") throw new RktError("INVALID_CONFIG", `${place.path}.${key}: is missing`);
    return found;
  };
  switch (type) {
    case "matchExact":
    case "matchRepoDigestOrExact":
    case "matchRepository":
      refuseUnknown(place, ["type"]);
      return { rule: type, image };
    case "exactReference":
      refuseUnknown(place, ["type", "dockerReference"]);
      return { rule: type, reference: value("dockerReference") };
    case "exactRepository":
      refuseUnknown(place, ["type", "dockerRepository"]);
      return { rule: type, repository: value("dockerRepository") };
    case "remapIdentity":
      refuseUnknown(place, ["type", "prefix", "signedPrefix"]);
      return { rule: type, prefix: value("prefix"), signedPrefix: value("signedPrefix"), image };
    default:
      throw new RktError("INVALID_CONFIG", `${place.path}.type: ${quoted(type)} is not known`);
  }
}

/** For text that is JSON. Readers keep the last of two fields of one name, so a second one could turn a rule off (containers-policy.json(5)). Throws INVALID_CONFIG. */
export function refuseDoubles(json: string): void {
  const objects: Set<string>[] = [];
  for (const [token, key] of json.matchAll(/"((?:[^"\\]|\\.)*)"\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") objects.push(new Set());
    else if (token === "}") objects.pop();
    else if (key !== undefined) {
      const name = String(JSON.parse(`"${key}"`));
      const names = objects.at(-1);
      if (names?.has(name) === true) throw new RktError("INVALID_CONFIG", `${quoted(name)} stands there twice`);
      names?.add(name);
    }
  }
}

/** Throws INVALID_CONFIG for a field that is not among `known`. */
export function refuseUnknown(place: Place, known: readonly string[]): void {
  for (const [key] of entries(place)) {
    if (known.includes(key)) continue;
    const where = place.path === "" ? key : `${place.path}.${key}`;
    throw new RktError("INVALID_CONFIG", `${quoted(where)} is not known, or not supported by this version`);
  }
}
