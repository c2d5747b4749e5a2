/** Which credentials of the configuration go with a request. */

import { type AwsKeys, signAwsRequest } from "./aws-signature.ts";
import type { Auth, Config, DockerCredentials } from "./config.ts";
import { canonicalName, longestPrefix } from "./registries.ts";

/**
 * The headers that authenticate a GET of `url` for App Container images; empty where none are configured for exactly this host (and port), and for
 * anything but https, so that a plain http mirror or a redirect cannot collect them. Ask again for every redirect.
 */
export function authHeaderFor(config: Config, url: string | URL): Readonly<Record<string, string>> {
  const target = new URL(url);
  if (target.protocol !== "https:") return {};
  const auth = config.auth.get(target.host);
  return auth === undefined ? {} : headersOf(auth, target);
}

/**
 * The keys behind {@link authHeaderFor}'s headers where those are a signature, which holds for one path and some minutes: whoever sends later requests to the same host, or
 * follows a redirect there, signs anew.
 */
export function awsKeysFor(config: Config, url: string | URL): { host: string; keys: AwsKeys } | undefined {
  const { protocol, host } = new URL(url);
  const auth = protocol === "https:" ? config.auth.get(host) : undefined;
  if (auth?.kind !== "aws") return undefined;
  const { accessKeyId, secretAccessKey, region } = auth;
  return { host, keys: { accessKeyId, secretAccessKey, region } };
}

function headersOf(auth: Auth, url: URL): Readonly<Record<string, string>> {
  switch (auth.kind) {
    case "basic":
      return { Authorization: `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString("base64")}` };
    case "oauth":
      return { Authorization: `Bearer ${auth.token}` };
    case "aws":
      return signAwsRequest(auth, url, new Date());
  }
}

/**
 * The credentials of `auth.d` for a repository, or undefined: those of the longest entry that its name begins with ("quay.io/team" before "quay.io"), so that one
 * registry may know several accounts. An entry counts for its host and port alone.
 */
export function dockerCredentials(config: Config, registry: string, repository = ""): DockerCredentials | undefined {
  const name = canonicalName(repository === "" ? registry : `${registry}/${repository}`);
  return longestPrefix(name, config.dockerAuth)?.value;
}
