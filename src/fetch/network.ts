/** A worker's HTTP settings: what its caller said, and the host's certificate authorities. */

import { RKT_VERSION } from "../core/version.ts";
import { authorities } from "../host/certificates.ts";
import type { HttpSettings } from "./http.ts";
import type { NetworkRequest } from "./messages.ts";

const IDLE_TIMEOUT = 60_000;

export function httpSettings(request: NetworkRequest): HttpSettings {
  const { insecureTls, insecureHttp, plainHosts, proxies, certificates, client, aws } = request;
  return {
    ...{ insecureTls, insecureHttp, plainHosts, proxies, client, aws },
    certificates: authorities(certificates),
    userAgent: `rkt/${RKT_VERSION}`,
    idleTimeout: IDLE_TIMEOUT,
  };
}
