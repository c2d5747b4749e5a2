/** Which servers are asked for an image, in which order, and how to speak to each. Pure. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Config, RegistryConnection, RegistryMirror, RegistryRule } from "./config.ts";

/** One server that is asked for one image. */
export interface RegistryEndpoint {
  /** host[:port]. */
  readonly registry: string;
  readonly repository: string;
  readonly isMirror: boolean;
  readonly connection: RegistryConnection;
}

export interface WantedRepository {
  readonly registry: string;
  readonly repository: string;
  /** The image is named by digest: what a mirror answers can be checked against the name. */
  readonly pinned: boolean;
}

/** Docker Hub goes by several names: what users write, and the host that answers (first). */
const DOCKER_HUB = ["registry-1.docker.io", "index.docker.io", "docker.io", "registry.hub.docker.com"];

const PLAIN: RegistryConnection = {
  insecure: false,
  caFile: undefined,
  clientCertificate: undefined,
  clientKey: undefined,
};

/** The mirrors in their order, then the registry itself. Throws PERMISSION for a blocked registry. */
export function pullEndpoints(config: Config, wanted: WantedRepository): RegistryEndpoint[] {
  const name = `${wanted.registry}/${wanted.repository}`;
  const rule = allowedRule(config, name);
  if (rule === undefined) return [itself(config, wanted, undefined)];
  const mirrors = rule.mirrors
    .filter(({ pull }) => pull === "all" || pull === (wanted.pinned ? "digest-only" : "tag-only"))
    .map((mirror) => mirrorEndpoint(config, name, rule, mirror));
  return [...mirrors, itself(config, wanted, rule)];
}

/** Where an image is pushed to: never a mirror. Throws PERMISSION for a blocked registry. */
export function pushEndpoint(config: Config, wanted: Omit<WantedRepository, "pinned">): RegistryEndpoint {
  return itself(config, wanted, allowedRule(config, `${wanted.registry}/${wanted.repository}`));
}

/** The hosts that the operator allows to be spoken to without TLS. */
export function insecureHosts(config: Config): string[] {
  const rules = [...config.registries.values()];
  const places = rules.flatMap((rule) => [
    ...(rule.connection.insecure === true ? [rule.location ?? rule.prefix] : []),
    ...rule.mirrors.filter(({ connection }) => connection.insecure === true).map(({ location }) => location),
  ]);
  return [...new Set(places.map((place) => splitPlace(canonicalName(place)).registry))];
}

/** A name with Docker Hub's aliases made one: "docker.io/x" → "registry-1.docker.io/x". Hosts in small letters. */
export function canonicalName(name: string): string {
  const { registry, repository } = splitPlace(name);
  const host = DOCKER_HUB.includes(registry.toLowerCase()) ? (DOCKER_HUB[0] ?? registry) : registry.toLowerCase();
  return repository === "" ? host : `${host}/${repository}`;
}

/** The entry whose prefix is the longest of those that `name` begins with, at a boundary of its path; of equals the last. */
export function longestPrefix<T>(
  name: string,
  entries: Iterable<readonly [prefix: string, value: T]>,
): { readonly prefix: string; readonly value: T } | undefined {
  let best: { prefix: string; value: T } | undefined;
  for (const [written, value] of entries) {
    const prefix = canonicalName(written);
    if (!startsWithPlace(name, prefix)) continue;
    if (best === undefined || prefix.length >= best.prefix.length) best = { prefix, value };
  }
  return best;
}

function ruleFor(config: Config, name: string): RegistryRule | undefined {
  return longestPrefix(canonicalName(name), config.registries)?.value;
}

function allowedRule(config: Config, name: string): RegistryRule | undefined {
  const rule = ruleFor(config, name);
  if (rule?.blocked !== true) return rule;
  throw new RktError("PERMISSION", `Cannot use ${quoted(name)}: ${quoted(rule.prefix)} is blocked`, {
    hint: `${rule.file} blocks it (rktKind registries)`,
  });
}

function itself(
  config: Config,
  { registry, repository }: Omit<WantedRepository, "pinned">,
  rule: RegistryRule | undefined,
): RegistryEndpoint {
  const name = `${registry}/${repository}`;
  const place = rule?.location === undefined ? { registry, repository } : moved(name, rule.prefix, rule.location);
  const connection = connectionTo(config, `${place.registry}/${place.repository}`);
  return { ...place, isMirror: false, connection: { ...connection, ...rule?.connection } };
}

function mirrorEndpoint(config: Config, name: string, rule: RegistryRule, mirror: RegistryMirror): RegistryEndpoint {
  const place = moved(name, rule.prefix, mirror.location);
  const connection = connectionTo(config, `${place.registry}/${place.repository}`);
  return { ...place, isMirror: true, connection: { ...connection, ...mirror.connection } };
}

/** What every matching rule says of a connection, the longest prefix last: "quay.io" names the authority, "quay.io/team" need not repeat it. */
function connectionTo(config: Config, place: string): RegistryConnection {
  const name = canonicalName(place);
  const rules = [...config.registries.values()]
    .map((rule) => ({ prefix: canonicalName(rule.prefix), connection: rule.connection }))
    .filter(({ prefix }) => startsWithPlace(name, prefix))
    .sort((a, b) => a.prefix.length - b.prefix.length);
  return Object.assign({}, PLAIN, ...rules.map(({ connection }) => connection));
}

/** `name` with `location` in the place of `prefix`. */
function moved(name: string, prefix: string, location: string): { registry: string; repository: string } {
  const rest = canonicalName(name).slice(canonicalName(prefix).length);
  const { registry, repository } = splitPlace(canonicalName(`${location}${rest}`));
  if (repository !== "") return { registry, repository };
  throw new RktError(
    "INVALID_CONFIG",
    `Cannot use ${quoted(location)} for ${quoted(name)}: it leaves no repository name`,
  );
}

function splitPlace(place: string): { registry: string; repository: string } {
  const slash = place.indexOf("/");
  return slash < 0
    ? { registry: place, repository: "" }
    : { registry: place.slice(0, slash), repository: place.slice(slash + 1) };
}

function startsWithPlace(name: string, prefix: string): boolean {
  return name === prefix || name.startsWith(`${prefix}/`);
}
