/**
 * Sigstore keys and identities in the keystore. `sha256-HEX.pub`: a public key in PEM form, HEX the SHA-256 of its SubjectPublicKeyInfo. `identity-HEX.json`: an identity
 * (exact or a regular expression) and its issuer, with the trusted root that vouches for it; HEX the SHA-256 of the first two. Without a root of its own, an identity is
 * checked against `trustedkeys/trusted_root.json`, the host's or else the system's.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorLine, RktError } from "../../core/errors.ts";
import type { Emit } from "../../core/events.ts";
import { quoted } from "../../core/text.ts";
import { readGivenFile } from "../../host/given-file.ts";
import type { Host } from "../../host/mod.ts";
import { field, optionalText, readDocument, text } from "../../spec/document.ts";
import { jsonText, ordered } from "../../spec/json-text.ts";
import type { JsonValue } from "../../spec/json-value.ts";
import { type KeystoreFile, type TrustDirs, writeKeystoreFile } from "../keystore-files.ts";
import { pemBlock, pemContent } from "./pem.ts";
import { trustedRootDocuments, trustedRootText } from "./trusted-root-text.ts";

export type SigstoreSigner = {
  readonly path: string;
  /** "" for all images. */
  readonly prefix: string;
} & SigstoreTrust;

export type SigstoreTrust =
  /** `fingerprint`: 64 hex digits. */
  | { readonly kind: "key"; readonly fingerprint: string; readonly der: Buffer }
  | ({
      readonly kind: "identity" /** {@link trustedRootDocuments}; undefined: the host's. */;
      readonly trustedRoot: string | undefined;
    } & IdentityTrust);

/** Exactly one of identity and identityRegexp is there. */
export interface IdentityTrust {
  readonly issuer: string;
  readonly identity: string | undefined;
  readonly identityRegexp: string | undefined;
}

/** A trusted root with a long history has some ten KB. */
const TRUSTED_ROOT_LIMIT = 1024 * 1024;

/** The signers in `files`. What is not what its name says is reported and does not count. */
export function readSigners(files: readonly KeystoreFile[], emit: Emit): SigstoreSigner[] {
  return files.flatMap(({ name, path, prefix }) => {
    try {
      return [{ path, prefix, ...readSigner(name, path) }];
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      emit({ kind: "warning", text: `ignoring ${quoted(path)} in the keystore: ${error.message}` });
      return [];
    }
  });
}

function readSigner(name: string, path: string): SigstoreTrust {
  const content = readFileSync(path, "utf8");
  if (content.length > TRUSTED_ROOT_LIMIT + 4096) throw new RktError("INVALID_INPUT", "it is too large");
  const signer = name.endsWith(".pub") ? readKey(content) : readIdentity(content);
  if (signerFile(signer) === name) return signer;
  throw new RktError("INVALID_INPUT", `it holds what belongs into ${quoted(signerFile(signer))}`);
}

function readKey(content: string): SigstoreTrust {
  const der = pemContent(content, "PUBLIC KEY");
  if (der === undefined) throw new RktError("INVALID_INPUT", "it is not a public key in PEM form");
  return { kind: "key", fingerprint: sha256(der), der };
}

function readIdentity(content: string): SigstoreTrust {
  const document = readDocument(content, "the identity");
  const trust = {
    issuer: text(field(document, "issuer")),
    identity: optionalText(field(document, "identity")),
    identityRegexp: optionalText(field(document, "identityRegexp")),
  };
  requireIdentity(trust);
  const root = field(document, "trustedRoot");
  return { kind: "identity", ...trust, trustedRoot: rootText(root.value) };
}

/** In the file one root is an object, several are a list of objects. */
function rootText(root: JsonValue | undefined): string | undefined {
  if (root === undefined || root === null) return undefined;
  return trustedRootText(Array.isArray(root) ? root : [root]);
}

/** Throws USAGE-like INVALID_INPUT unless an issuer and exactly one of the two forms of an identity are there. */
export function requireIdentity({ issuer, identity, identityRegexp }: IdentityTrust): void {
  if (!/^https?:\/\/\S+$/.test(issuer))
    throw new RktError("INVALID_INPUT", `the issuer is ${quoted(issuer)}, expected a URL`);
  if ((identity === undefined) === (identityRegexp === undefined) || identity === "" || identityRegexp === "") {
    throw new RktError("INVALID_INPUT", "expected an identity, or a regular expression for one");
  }
  try {
    if (identityRegexp !== undefined) new RegExp(`^(?:${identityRegexp})$`, "u");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RktError("INVALID_INPUT", `${quoted(identityRegexp ?? "")} is no regular expression: ${reason}`);
  }
}

/** The name of a signer's file. */
export function signerFile(signer: SigstoreTrust): string {
  return signer.kind === "key" ? `sha256-${signer.fingerprint}.pub` : `identity-${identityHash(signer)}.json`;
}

export function identityHash({ issuer, identity, identityRegexp }: IdentityTrust): string {
  return sha256(Buffer.from(JSON.stringify([issuer, identity ?? null, identityRegexp ?? null])));
}

/** Trusts a signer for `prefix` ("" for all images) and returns the file's path. Throws INVALID_INPUT, PERMISSION. */
export function storeSigner(host: Host, localConfigDir: string, prefix: string, signer: SigstoreTrust): string {
  return writeKeystoreFile(
    host,
    localConfigDir,
    { tree: "sigstore-", prefix, name: signerFile(signer) },
    contentOf(signer),
  );
}

function contentOf(signer: SigstoreTrust): string {
  if (signer.kind === "key") return pemBlock(signer.der, "PUBLIC KEY");
  const { issuer, identity, identityRegexp, trustedRoot } = signer;
  const roots = trustedRoot === undefined ? [] : (trustedRootDocuments(trustedRoot) as JsonValue[]);
  const root = roots.length > 1 ? roots : roots[0];
  return `${jsonText(
    ordered(["issuer", issuer], ["identity", identity], ["identityRegexp", identityRegexp], ["trustedRoot", root]),
    "\t",
  )}\n`;
}

/** The trusted root for identities that have none of their own; undefined when the host has none: an empty file takes the system's away. Throws NOT_FOUND, INVALID_INPUT. */
export function hostTrustedRoot({ systemConfigDir, localConfigDir }: TrustDirs): string | undefined {
  const path = [localConfigDir, systemConfigDir]
    .map((dir) => join(dir, "trustedkeys/trusted_root.json"))
    .find((file) => existsSync(file));
  const content = path === undefined ? "" : readTrustedRoot(path);
  return content.trim() === "" ? undefined : content;
}

/** A file with a trusted root, as it is. Throws NOT_FOUND for what cannot be read, INVALID_INPUT for too much. */
export function readTrustedRoot(path: string): string {
  try {
    return readGivenFile(path, TRUSTED_ROOT_LIMIT).toString("utf8");
  } catch (cause) {
    if (cause instanceof RktError) throw cause;
    // One message and no chain: of a chain the innermost words are shown, and those do not name the file.
    throw new RktError("NOT_FOUND", errorLine(new Error(`Cannot read the trusted root ${quoted(path)}`, { cause })));
  }
}

function sha256(bytes: Buffer): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
