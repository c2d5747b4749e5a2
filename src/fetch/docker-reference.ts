/** `docker://[registry/]name[:tag][@digest]` (the grammar of distribution/reference, with rkt's defaults). */

import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, OciSource } from "../core/spine.ts";
import { quoted } from "../core/text.ts";

export type DockerReference = Extract<ImageReference, { kind: "docker" }>;

export const DEFAULT_REGISTRY = "registry-1.docker.io";
/** Other names of the default registry that people write. */
const DEFAULT_REGISTRY_ALIASES: readonly string[] = ["docker.io", "index.docker.io", "registry.hub.docker.com"];

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?$/;
/** distribution-spec, "Pulling manifests": many servers refuse more than 255 characters of host and name. */
const LONGEST_NAME = 255;

/** Parses `docker:` with or without `//`. Throws INVALID_INPUT. */
export function parseDockerReference(text: string): DockerReference {
  let rest = text.replace(/^docker:(?:\/\/)?/i, "");
  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = parseDigest(rest.slice(at + 1));
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  // A colon before the last slash belongs to the registry's port.
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) throw invalid(text, `${quoted(tag)} is no tag`);
  }
  const { registry, repository } = splitName(rest);
  if (!isRegistry(registry)) throw invalid(text, `${quoted(registry)} is no registry (host[:port])`);
  if (
    repository.length + registry.length > LONGEST_NAME ||
    !repository.split("/").every((part) => COMPONENT.test(part))
  ) {
    throw invalid(text, `${quoted(repository)} is no repository name`);
  }
  return {
    kind: "docker",
    registry,
    repository,
    tag: tag ?? (digest === undefined ? "latest" : undefined),
    digest,
    text,
  };
}

/** What the conversion to the appc vocabulary makes the image's name of. The digest decides what is fetched, so it is the version where there is one. */
export function dockerSource({ registry, repository, tag, digest }: DockerReference): OciSource {
  return { registry, repository, reference: digest === undefined ? (tag ?? "latest") : formatDigest(digest) };
}

/** The first component is a registry only if it cannot be part of a name: it holds a dot or a port, or is "localhost". */
function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  if (!/[.:]/.test(first) && first !== "localhost") {
    return { registry: DEFAULT_REGISTRY, repository: slash < 0 ? `library/${name}` : name };
  }
  const repository = name.slice(slash + 1);
  const registry = first.toLowerCase();
  if (registry !== DEFAULT_REGISTRY && !DEFAULT_REGISTRY_ALIASES.includes(registry)) return { registry, repository };
  return { registry: DEFAULT_REGISTRY, repository: repository.includes("/") ? repository : `library/${repository}` };
}

function isRegistry(text: string): boolean {
  const match = REGISTRY.exec(text);
  return match !== null && Number(match[1] ?? 1) >= 1 && Number(match[1] ?? 1) <= 65535;
}

function invalid(text: string, why: string): RktError {
  return new RktError("INVALID_INPUT", `invalid image string ${quoted(text)}: ${why}`, {
    hint: "expected docker://[registry/]name[:tag|@digest]",
  });
}
