/** A worker's HTTP settings: what its caller said, and the host's certificate authorities. */

import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { RKT_VERSION } from "../core/version.ts";
import type { HttpSettings } from "./http.ts";
import type { NetworkRequest } from "./messages.ts";

const IDLE_TIMEOUT = 60_000;

export function httpSettings(request: NetworkRequest): HttpSettings {
  const { insecureTls, insecureHttp, plainHosts, proxies, certificates, client } = request;
  return {
    ...{ insecureTls, insecureHttp, plainHosts, proxies, client },
    certificates: authorities(certificates),
    userAgent: `rkt/${RKT_VERSION}`,
    idleTimeout: IDLE_TIMEOUT,
  };
}

/** The runtime has authorities of its own, but the operator of the host decides (private ones are added, others taken out). */
function authorities({ bundle, extra }: NetworkRequest["certificates"]): string | undefined {
  const base = bundle ?? hostBundle();
  if (extra === "") return base;
  // What is named replaces the runtime's own authorities, so they are named too.
  return `${base ?? rootCertificates.join("\n")}\n${extra}`;
}

/** Where distributions keep the authorities that the host's operator trusts: Debian, Fedora, SUSE, Alpine. */
const CERTIFICATE_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

function hostBundle(): string | undefined {
  for (const file of CERTIFICATE_FILES) {
    try {
      return readFileSync(file, "utf8");
    } catch {
      // The next one.
    }
  }
  return undefined;
}
