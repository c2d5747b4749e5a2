/** Prefixes of image names: AC identifiers, and names of OCI repositories, whose host may have a port. They become paths of the keystore. */

import { RktError } from "../core/errors.ts";
import type { OciSource } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { acIdentifierProblem } from "../spec/appc/names.ts";

/** Checks a prefix ("example.com/app", "registry.example:5000/team") and returns it. Throws INVALID_INPUT; nothing that passes can climb out of a directory. */
export function parsePrefix(text: string): string {
  // A port stands behind the host, and nowhere else.
  const problem = acIdentifierProblem(text.replace(/^([^/:]+):[0-9]{1,5}(?=\/|$)/, "$1"));
  if (problem === undefined) return text;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as a prefix of image names: ${problem}`);
}

/** "a/b/c" has "a", "a/b" and "a/b/c". */
export function prefixesOf(name: string): string[] {
  const parts = parsePrefix(name).split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** The names by which keys for an image of a registry may be filed; none for one that comes from no registry. */
export function repositoryNames(source: OciSource | undefined): string[] {
  if (source?.registry === undefined || source.repository === undefined) return [];
  const registry = source.registry.toLowerCase();
  const hosts = registry === "registry-1.docker.io" ? [registry, "docker.io"] : [registry];
  return hosts.map((host) => `${host}/${source.repository}`);
}
