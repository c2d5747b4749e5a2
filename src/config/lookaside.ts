/**
 * Where simple-signing signatures lie: containers-registries.d(5), as podman and skopeo read it. It says where to look and not whom to trust, so the host's own files are
 * used without being asked for; `containers/registries.d` in rkt's local configuration directory comes in their place.
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "../host/mod.ts";
import { field, isPresent, type Place, text } from "../spec/document.ts";
import type { JsonValue } from "../spec/json-value.ts";

const HOST_DIRECTORY = "/etc/containers/registries.d";
/** containers-registries.d(5), "lookaside": the default. */
const DEFAULT_LOOKASIDE = "file:///var/lib/containers/sigstore";
const LARGEST_FILE = 1024 * 1024;

/**
 * The URL (file, http or https) below which the signatures of `repository` lie, the repository's name included. `registry` has the form host[:port].
 * Throws INVALID_CONFIG.
 */
export function lookasideUrl(localConfigDir: string, registry: string, repository: string, tag = ""): string {
  const base = configuredBase(localConfigDir, `${registry}/${repository}`, tag) ?? DEFAULT_LOOKASIDE;
  if (!/^(https?|file):\/\//.test(base) || !URL.canParse(base)) {
    throw new RktError(
      "INVALID_CONFIG",
      `Cannot use the lookaside ${quoted(base)}: expected a file, http or https URL`,
    );
  }
  return `${base.replace(/\/+$/, "")}/${repository}`;
}

function configuredBase(localConfigDir: string, name: string, tag: string): string | undefined {
  const own = join(localConfigDir, "containers/registries.d");
  const files = yamlFiles(own) ?? yamlFiles(HOST_DIRECTORY) ?? [];
  const documents = files.map(readYaml);
  for (const scope of scopesOf(name, tag)) {
    for (const document of documents) {
      const base = baseOf(field(field(document, "docker"), scope));
      if (base !== undefined) return base;
    }
  }
  return documents.map((document) => baseOf(field(document, "default-docker"))).find((base) => base !== undefined);
}

/** The longest first: "host/team/app:tag", "host/team/app", "host/team", "host". */
function scopesOf(name: string, tag: string): string[] {
  const parts = name.split("/");
  const prefixes = parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
  return tag === "" ? prefixes : [`${name}:${tag}`, ...prefixes];
}

/** "sigstore" is the field's name before containers/image 5.22. */
function baseOf(place: Place): string | undefined {
  if (!isPresent(place)) return undefined;
  return text(field(place, "lookaside")) || text(field(place, "sigstore")) || undefined;
}

function yamlFiles(directory: string): string[] | undefined {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(".yaml"))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new RktError("INVALID_CONFIG", `Cannot read ${quoted(directory)}`, { cause: error });
  }
}

function readYaml(file: string): Place {
  try {
    if (statSync(file).size > LARGEST_FILE) throw new RktError("INVALID_CONFIG", "it has more than 1 MiB");
    const value = Bun.YAML.parse(readFileSync(file, "utf8")) as JsonValue | undefined;
    return { document: quoted(file), path: "", value: value ?? {} };
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `cannot get configuration: Cannot read ${quoted(file)}`, { cause });
  }
}
