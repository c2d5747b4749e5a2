/** What the keystore holds, and taking trust back. */

import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/mod.ts";
import { readKeys } from "./keystore.ts";
import {
  allKeystoreFiles,
  type KeystoreTree,
  keystoreFiles,
  removeKeystoreFile,
  type TrustDirs,
} from "./keystore-files.ts";
import { type IdentityTrust, identityHash, readSigners } from "./oci/sigstore-keystore.ts";

export type TrustListing = {
  /** "" for all images. */
  readonly prefix: string;
  readonly path: string;
} & (
  | { readonly kind: "openpgp" /** 40 digits. */; readonly fingerprint: string }
  | { readonly kind: "sigstore-key" /** 64 digits. */; readonly fingerprint: string }
  | ({ readonly kind: "sigstore-identity" } & IdentityTrust)
);

/** Everything that is trusted, by prefix; with `name` only what counts for an image called so. Broken files are reported. Throws INVALID_INPUT. */
export function listTrust(dirs: TrustDirs, name: string, emit: Emit): TrustListing[] {
  const files = (tree: KeystoreTree) =>
    name === "" ? allKeystoreFiles(dirs, tree) : keystoreFiles([name], dirs, tree);
  const keys = readKeys(files(""), emit).map(
    ({ prefix, path, fingerprint }): TrustListing => ({ prefix, path, kind: "openpgp", fingerprint }),
  );
  const signers = readSigners(files("sigstore-"), emit).map((signer): TrustListing => {
    const { prefix, path } = signer;
    if (signer.kind === "key") return { prefix, path, kind: "sigstore-key", fingerprint: signer.fingerprint };
    const { issuer, identity, identityRegexp } = signer;
    return { prefix, path, kind: "sigstore-identity", issuer, identity, identityRegexp };
  });
  return [...keys, ...signers].sort((a, b) => (a.prefix < b.prefix ? -1 : a.prefix > b.prefix ? 1 : 0));
}

/**
 * Takes trust in a key back, for one prefix ("" for the trust in all images). `key`: a fingerprint as the list shows it, blanks allowed. Returns the files that were removed, or
 * written to take back what the system's configuration trusts. Throws NOT_FOUND when it is not trusted there, INVALID_INPUT, PERMISSION.
 */
export function removeKey(host: Host, dirs: TrustDirs, prefix: string, key: string): string[] {
  const hex = key
    .replace(/^sha256[:-]/i, "")
    .replaceAll(/\s/g, "")
    .toLowerCase();
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hex)) {
    throw new RktError("INVALID_INPUT", `Cannot take back trust in ${quoted(key)}: expected a fingerprint`, {
      hint: "rkt trust --list shows them",
    });
  }
  const where =
    hex.length === 40
      ? ({ tree: "", prefix, name: hex } as const)
      : ({ tree: "sigstore-", prefix, name: `sha256-${hex}.pub` } as const);
  return removed(removeKeystoreFile(host, dirs, where), key, prefix);
}

/** The same for an identity. */
export function removeIdentity(host: Host, dirs: TrustDirs, prefix: string, identity: IdentityTrust): string[] {
  const name = `identity-${identityHash(identity)}.json`;
  const text = identity.identity ?? identity.identityRegexp ?? "";
  return removed(removeKeystoreFile(host, dirs, { tree: "sigstore-", prefix, name }), text, prefix);
}

function removed(paths: string[], what: string, prefix: string): string[] {
  if (paths.length > 0) return paths;
  const where = prefix === "" ? "for all images" : `for prefix ${quoted(prefix)}`;
  throw new RktError("NOT_FOUND", `Cannot take back trust in ${quoted(what)}: it is not trusted ${where}`, {
    hint: "rkt trust --list shows what is trusted, and for which prefix",
  });
}
