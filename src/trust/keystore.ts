/**
 * The keystore, as rkt 1.x laid it out: `trustedkeys/root.d/FPR` for every image, `trustedkeys/prefix.d/PREFIX/FPR` for images whose name begins with PREFIX, below
 * the system's and the host's configuration directories. FPR is the fingerprint of the file's first key, 40 lower-case hex digits; the file is armored.
 */

import { readFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/mod.ts";
import { type KeystoreFile, keystoreFiles, type TrustDirs, writeKeystoreFile } from "./keystore-files.ts";
import { dearmor, keyFingerprint } from "./packets.ts";

export interface TrustedKey {
  readonly fingerprint: string;
  readonly path: string;
  /** "" for all images. */
  readonly prefix: string;
  /** Binary; may hold more keys than the one trusted. */
  readonly keyring: Buffer;
}

/** Keys are small; one with thousands of foreign signatures is a few MiB. */
export const KEY_LIMIT = 4 * 1024 * 1024;

/**
 * The OpenPGP keys trusted for images called `name`: see {@link keystoreFiles}. Files that are not the key that their name says are reported and do not count.
 */
export function trustedKeysFor(name: string, dirs: TrustDirs, emit: Emit): TrustedKey[] {
  return readKeys(keystoreFiles([name], dirs, ""), emit);
}

/** Whether a key is trusted for a leading part of `name`. Root keys do not count: they say nothing about who makes these images. */
export function isPrefixTrusted(name: string, dirs: TrustDirs, emit: Emit): boolean {
  return trustedKeysFor(name, dirs, emit).some(({ prefix }) => prefix !== "");
}

/** The keys in `files`, those that count. */
export function readKeys(files: readonly KeystoreFile[], emit: Emit): TrustedKey[] {
  return files.flatMap((file) => readKey(file, emit) ?? []);
}

function readKey({ name, path, prefix }: KeystoreFile, emit: Emit): TrustedKey | undefined {
  const content = readFileSync(path);
  const keyring = content.length > KEY_LIMIT ? undefined : dearmor(content, "PUBLIC KEY BLOCK");
  const fingerprint = keyring && keyFingerprint(keyring);
  if (keyring !== undefined && fingerprint === name) return { fingerprint, path, prefix, keyring };
  const problem = fingerprint === undefined ? "it is not an OpenPGP public key" : `it holds the key ${fingerprint}`;
  emit({ kind: "warning", text: `ignoring ${quoted(path)} in the keystore: ${problem}` });
  return undefined;
}

/**
 * Trusts a key: writes `armored` under its fingerprint for `prefix` ("" for all images) and returns the file's path.
 * Throws INVALID_INPUT when the prefix is no name or the text is no key, PERMISSION when the caller may not write there.
 */
export function storeTrustedKey(host: Host, localConfigDir: string, prefix: string, armored: string): string {
  const binary = dearmor(Buffer.from(armored), "PUBLIC KEY BLOCK");
  const fingerprint = binary && keyFingerprint(binary);
  if (fingerprint === undefined) {
    throw new RktError("INVALID_INPUT", "Cannot trust the key: expected an OpenPGP public key of version 4");
  }
  return writeKeystoreFile(host, localConfigDir, { tree: "", prefix, name: fingerprint }, armored);
}

export type { TrustDirs };
