/** The certificate authorities that a worker's connections trust. */

import { readFileSync } from "node:fs";

/** Where distributions keep the authorities that the host's operator trusts: Debian, Fedora, SUSE, Alpine. */
const CERTIFICATE_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * PEM text of `bundle` (else the host's) and `extra`; undefined: the runtime's own. The runtime has authorities of its own, but the operator of the host decides
 * (private ones are added, others taken out).
 */
export function authorities({ bundle, extra }: { bundle: string | undefined; extra: string }): string | undefined {
  const base = bundle ?? hostBundle();
  if (extra === "") return base;
  // What is named replaces the runtime's own authorities, so they are named too.
  return `${base ?? process.getBuiltinModule("node:tls").rootCertificates.join("\n")}\n${extra}`;
}

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
