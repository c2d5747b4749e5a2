/** The caller's side of a worker's network: read here from configuration, environment and files, handed over as values. */

import { type Config, insecureHosts, type RegistryEndpoint } from "../config/mod.ts";
import { readPem, transportFor } from "../config/transport.ts";
import type { InsecureOptions } from "../core/insecure-options.ts";
import type { NetworkRequest } from "./messages.ts";

/** Throws INVALID_CONFIG when a file of certificates cannot be read, INVALID_INPUT for a proxy that cannot be used. */
export function networkRequest(
  config: Config,
  insecure: InsecureOptions,
  env: Readonly<Record<string, string | undefined>>,
  endpoint: RegistryEndpoint | undefined,
): NetworkRequest {
  const connection = endpoint?.connection;
  const plain = endpoint !== undefined && connection?.insecure === true ? [hostOfPlainUrl(endpoint.registry)] : [];
  return {
    insecureTls: insecure.tls,
    insecureHttp: insecure.http,
    plainHosts: [...new Set([...plain, ...insecureHosts(config).map(hostOfPlainUrl)])],
    ...transportFor(config, env, connection?.caFile),
    client: endpoint && clientCertificate(endpoint),
  };
}

/** As it stands in an http URL: without the port that is understood. */
function hostOfPlainUrl(registry: string): string {
  return new URL(`http://${registry}/`).host;
}

function clientCertificate({ registry, connection }: RegistryEndpoint): NetworkRequest["client"] {
  const { clientCertificate: certificate, clientKey: key } = connection;
  if (certificate === undefined || key === undefined) return undefined;
  return {
    host: new URL(`https://${registry}/`).host,
    certificate: readPem(certificate, "the client certificate of the configuration (rktKind registries)"),
    key: readPem(key, "the client key of the configuration (rktKind registries)"),
  };
}
