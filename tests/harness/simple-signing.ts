/** Signing images as skopeo does: by OpenPGP, into a lookaside directory. (Debian builds skopeo without Sigstore.) */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Signer } from "./images.ts";
import { runProgram } from "./temporary.ts";

export interface Lookaside {
  /** registries.d for skopeo, and for rkt's configuration. */
  readonly registriesDir: string;
  /** The signatures: DIR/repository@sha256=…/signature-1. */
  readonly dir: string;
}

/** A lookaside directory for everything on `host`, described in `registriesDir`. `readUrl`: where readers look, if not in the directory itself. */
export function makeLookaside(path: string, host: string, readUrl?: string): Lookaside {
  const [registriesDir, dir] = [join(path, "registries.d"), join(path, "lookaside")];
  mkdirSync(registriesDir, { recursive: true });
  mkdirSync(dir, { recursive: true });
  const lines = [
    "docker:",
    `  "${host}":`,
    `    sigstore: ${readUrl ?? `file://${dir}`}`,
    `    sigstore-staging: file://${dir}`,
  ];
  writeFileSync(join(registriesDir, "test.yaml"), `${lines.join("\n")}\n`);
  return { registriesDir, dir };
}

/** Copies an image of a layout into a registry and signs it with `skopeo copy --sign-by`. */
export function pushSigned(
  lookaside: Lookaside,
  source: string,
  target: string,
  signer: Signer,
  identity?: string,
): void {
  runProgram(
    [
      ...["skopeo", "--insecure-policy", "--registries.d", lookaside.registriesDir, "copy", "--quiet"],
      ...["--dest-tls-verify=false", "--format=oci", "--sign-by", signer.fingerprint],
      ...(identity === undefined ? [] : ["--sign-identity", identity]),
      ...[source, `docker://${target}`],
    ],
    { env: { GNUPGHOME: signer.home } },
  );
}
