/** Which credentials go with a request. They are for the exact host they were written for, and for TLS only. */

import { signAwsRequest } from "./aws-signature.ts";
import type { Auth, Config, DockerCredentials } from "./config.ts";

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

/** Docker Hub goes by several names: what users write, and the host that answers. */
const DOCKER_HUB = ["registry-1.docker.io", "index.docker.io", "docker.io"];

/** The credentials for a registry (`host` or `host:port`), or undefined. */
export function dockerCredentials(config: Config, registry: string): DockerCredentials | undefined {
  const names = DOCKER_HUB.includes(registry) ? [registry, ...DOCKER_HUB] : [registry];
  for (const name of names) {
    const credentials = config.dockerAuth.get(name);
    if (credentials !== undefined) return credentials;
  }
  return undefined;
}
