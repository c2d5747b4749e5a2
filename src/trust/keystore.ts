/**
 * The keystore, as rkt 1.x laid it out: `trustedkeys/root.d/FPR` for every image, `trustedkeys/prefix.d/PREFIX/FPR` for images whose name begins with PREFIX, below
 * the system's and the host's configuration directories. FPR is the fingerprint of the file's first key, 40 lower-case hex digits; the file is armored.
 */

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";
import { replaceFileBeneath } from "../host/beneath.ts";
import { AT_FDCWD, type Host, isErrno, O, RESOLVE } from "../host/mod.ts";
import { parseAcIdentifier } from "../spec/appc/names.ts";
import { dearmor, keyFingerprint } from "./packets.ts";

export interface TrustDirs {
  readonly systemConfigDir: string;
  readonly localConfigDir: string;
}

export interface TrustedKey {
  readonly fingerprint: string;
  readonly path: string;
  /** Binary; may hold more keys than the one trusted. */
  readonly keyring: Buffer;
}

/** Keys are small; one with thousands of foreign signatures is a few MiB. */
export const KEY_LIMIT = 4 * 1024 * 1024;

/**
 * The keys trusted for images called `name`: root keys, then those of every leading part of the name, whole components only ("example.com/app" has "example.com"
 * and "example.com/app", not "example.com/ap"). An empty file takes trust back: the same key of the directories read before it does not count. Files that are not
 * the key that their name says are reported and do not count.
 */
export function trustedKeysFor(name: string, dirs: TrustDirs, emit: Emit): TrustedKey[] {
  const keys = new Map<string, TrustedKey>();
  for (const directory of directoriesFor(parseAcIdentifier(name), dirs)) {
    for (const file of keyFiles(directory)) {
      const path = join(directory, file);
      const content = readFileSync(path);
      if (content.length === 0) keys.delete(file);
      else addKey(keys, file, path, content, emit);
    }
  }
  return [...keys.values()];
}

/** Whether a key is trusted for a leading part of `name`. Root keys do not count: they say nothing about who makes these images. */
export function isPrefixTrusted(name: string, dirs: TrustDirs, emit: Emit): boolean {
  return trustedKeysFor(name, dirs, emit).some(({ path }) => !dirname(path).endsWith("/trustedkeys/root.d"));
}

/** In rkt's order: system before local, so that a local file can mask the system's. */
function directoriesFor(name: string, { systemConfigDir, localConfigDir }: TrustDirs): string[] {
  const parts = name.split("/");
  const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
  const both = [systemConfigDir, localConfigDir].map((dir) => join(dir, "trustedkeys"));
  return [
    ...both.map((keys) => join(keys, "root.d")),
    ...both.flatMap((keys) => prefixes.map((prefix) => join(keys, "prefix.d", prefix))),
  ];
}

function keyFiles(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("."))
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function addKey(keys: Map<string, TrustedKey>, file: string, path: string, content: Buffer, emit: Emit): void {
  const keyring = content.length > KEY_LIMIT ? undefined : dearmor(content, "PUBLIC KEY BLOCK");
  const fingerprint = keyring && keyFingerprint(keyring);
  if (keyring !== undefined && fingerprint === file) {
    keys.set(fingerprint, { fingerprint, path, keyring });
    return;
  }
  const problem = fingerprint === undefined ? "it is not an OpenPGP public key" : `it holds the key ${fingerprint}`;
  emit({ kind: "warning", text: `ignoring ${quoted(path)} in the keystore: ${problem}` });
}

/**
 * Trusts a key: writes `armored` under its fingerprint for `prefix` ("" for all images) and returns the file's path. Directories are 0755, the file 0644 (rkt 1.x).
 * Throws INVALID_INPUT when the prefix is no identifier or the text is no key, PERMISSION when the caller may not write there.
 */
export function storeTrustedKey(host: Host, localConfigDir: string, prefix: string, armored: string): string {
  const binary = dearmor(Buffer.from(armored), "PUBLIC KEY BLOCK");
  const fingerprint = binary && keyFingerprint(binary);
  if (fingerprint === undefined) {
    throw new RktError("INVALID_INPUT", "Cannot trust the key: expected an OpenPGP public key of version 4");
  }
  const place = prefix === "" ? "trustedkeys/root.d" : join("trustedkeys/prefix.d", parseAcIdentifier(prefix));
  const path = join(localConfigDir, place, fingerprint);
  try {
    mkdirSync(localConfigDir, { recursive: true });
    makeDirectories(host, localConfigDir, place);
    replaceFileBeneath(host, localConfigDir, join(place, fingerprint), armored, 0o644);
  } catch (cause) {
    if (!isErrno(cause, "EACCES", "EPERM", "EROFS")) throw cause;
    throw new RktError("PERMISSION", `Cannot write ${quoted(path)}`, {
      cause,
      hint: 'become root, or a member of group "rkt-admin"',
    });
  }
  return path;
}

/** Group rkt-admin writes below the configuration directory: no link of theirs may lead root elsewhere. */
function makeDirectories(host: Host, root: string, place: string): void {
  const within = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS;
  let parent = host.openat(AT_FDCWD, root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    for (const name of place.split("/")) {
      makeDirectory(host, parent, name);
      const child = host.openat2(parent, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, within);
      host.close(parent);
      parent = child;
    }
  } finally {
    host.close(parent);
  }
}

function makeDirectory(host: Host, parent: number, name: string): void {
  try {
    host.mkdirat(parent, name, 0o755);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
