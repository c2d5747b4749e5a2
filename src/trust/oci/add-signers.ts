/** Trusting what Sigstore signs with: a public key, or an identity that a certificate authority vouches for. */

import type { Dialog } from "../../core/dialog.ts";
import { RktError } from "../../core/errors.ts";
import type { Emit } from "../../core/events.ts";
import { printable, quoted } from "../../core/text.ts";
import { type Host, linux } from "../../host/mod.ts";
import type { TrustDirs } from "../keystore-files.ts";
import { review } from "../review.ts";
import { askVerifyWorker } from "../run-worker.ts";
import {
  hostTrustedRoot,
  type IdentityTrust,
  readTrustedRoot,
  requireIdentity,
  storeSigner,
} from "./sigstore-keystore.ts";
import { decodeInspected, type InspectAnswer } from "./verify-messages.ts";

export interface AddSignerOptions extends TrustDirs {
  /** "" for all images. */
  readonly prefix: string;
  /** `--skip-fingerprint-review`. */
  readonly acceptAll: boolean;
  readonly dialog: Dialog;
  readonly emit: Emit;
  readonly host?: Host;
}

/** True for a file that holds a bare public key: those of OpenPGP begin differently. */
export function isPublicKeyFile(content: Uint8Array): boolean {
  return Buffer.from(content.subarray(0, 64 * 1024)).includes("-----BEGIN PUBLIC KEY-----");
}

/**
 * Shows a public key in PEM form, and trusts it when the operator accepts it; says whether. `location` is its name for people.
 * Throws INVALID_INPUT, UNSUPPORTED (weak or unusual), NOT_TRUSTED when nobody can be asked, PERMISSION.
 */
export async function addPublicKey(content: string, location: string, options: AddSignerOptions): Promise<boolean> {
  const { prefix, dialog, emit, host = linux } = options;
  const { description, der } = await ask("key", content);
  const key = Buffer.from(der, "base64");
  const fingerprint = new Bun.CryptoHasher("sha256").update(key).digest("hex");
  emit({ kind: "notice", source: "pubkey", text: `prefix: ${quoted(prefix)}\nkey: ${quoted(location)}` });
  dialog.print(`public key fingerprint is: SHA256 ${grouped(fingerprint)}`);
  dialog.print(`\t${description}`);
  if (!options.acceptAll && !review(options)) {
    emit({ kind: "notice", source: "pubkey", text: `not trusting ${quoted(location)}` });
    return false;
  }
  const how = options.acceptAll ? "without" : "after";
  dialog.print(`Trusting ${quoted(location)} for prefix ${quoted(prefix)} ${how} fingerprint review.`);
  tellPath(storeSigner(host, options.localConfigDir, prefix, { kind: "key", fingerprint, der: key }), "key", options);
  return true;
}

/**
 * Trusts an identity. `trustedRootFile`: who vouches for it; undefined: the host's `trustedkeys/trusted_root.json`, which must be there. The file's digest is shown for review, like
 * a key's fingerprint: it is what everything else hangs on. Throws INVALID_INPUT, NOT_FOUND (no trusted root), NOT_TRUSTED, PERMISSION.
 */
export async function addIdentity(
  identity: IdentityTrust,
  trustedRootFile: string | undefined,
  options: AddSignerOptions,
): Promise<boolean> {
  const { prefix, dialog, emit, host = linux } = options;
  requireIdentity(identity);
  const trustedRoot = trustedRootFile === undefined ? undefined : readTrustedRoot(trustedRootFile);
  const root = trustedRoot ?? hostTrustedRoot(options);
  if (root === undefined) {
    throw new RktError("NOT_FOUND", "Cannot trust an identity: no trusted root says who vouches for it", {
      hint: "give one with --trusted-root, or put it into trustedkeys/trusted_root.json of the configuration directory",
    });
  }
  const { description } = await ask("trusted-root", root);
  emit({ kind: "notice", source: "pubkey", text: `prefix: ${quoted(prefix)}\nidentity: ${identityText(identity)}` });
  if (trustedRoot !== undefined) {
    dialog.print(
      `trusted root fingerprint is: SHA256 ${grouped(new Bun.CryptoHasher("sha256").update(trustedRoot).digest("hex"))}`,
    );
  }
  dialog.print(`\t${description}`);
  const isReviewed = trustedRoot !== undefined && !options.acceptAll;
  if (isReviewed && !review(options)) {
    emit({ kind: "notice", source: "pubkey", text: `not trusting ${identityText(identity)}` });
    return false;
  }
  const path = storeSigner(host, options.localConfigDir, prefix, { kind: "identity", ...identity, trustedRoot });
  tellPath(path, "identity", options);
  return true;
}

/** "dev@example.com" (https://issuer.example), or a regular expression between slashes. */
export function identityText({ issuer, identity, identityRegexp }: IdentityTrust): string {
  return `${printable(identity ?? `/${identityRegexp}/`)} (${printable(issuer)})`;
}

function tellPath(path: string, what: "key" | "identity", { prefix, dialog }: AddSignerOptions): void {
  dialog.print(
    prefix === ""
      ? `Added root ${what} at ${quoted(path)}`
      : `Added ${what} for prefix ${quoted(prefix)} at ${quoted(path)}`,
  );
}

async function ask(what: "key" | "trusted-root", content: string): Promise<InspectAnswer> {
  return decodeInspected(await askVerifyWorker({ kind: "inspect", what, content }, []));
}

function grouped(hex: string): string {
  return (hex.match(/.{8}/g) ?? []).join(" ");
}
