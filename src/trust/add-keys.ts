/** Adding keys to the keystore: get them, show them, ask, write. In rkt's words, on rkt's outputs. */

import type { Config } from "../config/mod.ts";
import { transportFor } from "../config/transport.ts";
import type { Dialog } from "../core/dialog.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { printable, quoted, redactUrl } from "../core/text.ts";
import { readGivenFile } from "../host/given-file.ts";
import { type Host, linux } from "../host/mod.ts";
import { discoverKeys } from "./discover-keys.ts";
import { KEY_LIMIT, storeTrustedKey } from "./keystore.ts";
import type { TrustDirs } from "./keystore-files.ts";
import { decodeContent } from "./messages.ts";
import { addPublicKey, isPublicKeyFile } from "./oci/add-signers.ts";
import { armorKey, dearmor, type Packet, packetFingerprint, packetsOf, TAG } from "./packets.ts";
import { review } from "./review.ts";
import { askVerifyWorker } from "./run-worker.ts";

export interface AddKeysOptions extends TrustDirs {
  /** "" for all images. */
  readonly prefix: string;
  /** `--skip-fingerprint-review`. */
  readonly acceptAll: boolean;
  /** `--trust-keys-from-https`. */
  readonly acceptHttps: boolean;
  readonly allowHttp: boolean;
  readonly skipTlsCheck: boolean;
  readonly dialog: Dialog;
  readonly config: Config;
  readonly emit: Emit;
  readonly host?: Host;
  /** Default: this process's. Proxies and SSL_CERT_FILE are handed to the worker that downloads. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** A discovery page larger than this is none. */
const PAGE_LIMIT = 1024 * 1024;

/** The locations that `prefix` publishes. Throws INVALID_INPUT, NOT_FOUND. */
export async function findKeyLocations(options: AddKeysOptions): Promise<string[]> {
  if (options.prefix === "") throw new RktError("USAGE", "empty prefix");
  return await discoverKeys(
    options.prefix,
    options.allowHttp,
    (url) => download(url, PAGE_LIMIT, options),
    options.emit,
  );
}

/**
 * Shows each key and, when the operator accepts it, trusts it for the prefix. Locations are paths, or https URLs (http where allowed).
 * Throws INVALID_INPUT for what is no key, NOT_TRUSTED when nobody can be asked, PERMISSION, NETWORK, HTTP_STATUS, NOT_FOUND.
 */
export async function addKeys(locations: readonly string[], options: AddKeysOptions): Promise<void> {
  const { prefix, dialog, emit, host = linux } = options;
  for (const location of locations) {
    const bytes = await readLocation(location, options);
    const isAccepted = options.acceptAll || (options.acceptHttps && location.startsWith("https://"));
    if (isPublicKeyFile(bytes)) {
      await addPublicKey(bytes.toString("latin1"), redacted(location), { ...options, acceptAll: isAccepted });
      continue;
    }
    const armored = armoredKey(bytes, location);
    showKey(armored, location, options);
    if (!isAccepted && !review(options)) {
      emit({ kind: "notice", source: "pubkey", text: `not trusting ${quoted(redacted(location))}` });
      continue;
    }
    const how = isAccepted ? "without" : "after";
    dialog.print(`Trusting ${quoted(redacted(location))} for prefix ${quoted(prefix)} ${how} fingerprint review.`);
    const path = storeTrustedKey(host, options.localConfigDir, prefix, armored);
    dialog.print(
      prefix === "" ? `Added root key at ${quoted(path)}` : `Added key for prefix ${quoted(prefix)} at ${quoted(path)}`,
    );
  }
}

async function readLocation(location: string, options: AddKeysOptions): Promise<Buffer> {
  const what = `error accessing the key ${redacted(location)}`;
  return (isUrl(location) ? download(location, KEY_LIMIT, options) : localFile(location)).catch((cause: unknown) => {
    throw new RktError(cause instanceof RktError ? cause.code : "NOT_FOUND", what, { cause });
  });
}

/** The armored key; binary ones are armored, since that is what a keystore holds. */
function armoredKey(bytes: Buffer, location: string): string {
  const binary = dearmor(bytes, "PUBLIC KEY BLOCK");
  if (binary === undefined || keysIn(binary).length === 0) {
    throw new RktError(
      "INVALID_INPUT",
      `error displaying the key ${redacted(location)}: expected an OpenPGP public key of version 4, or a public key in PEM form`,
    );
  }
  return ((bytes[0] ?? 0) & 0x80) === 0 ? bytes.toString("latin1") : armorKey(binary);
}

async function localFile(path: string): Promise<Buffer> {
  return readGivenFile(path, KEY_LIMIT);
}

/** By the verify worker: whoever answers a download speaks to a process without rights. */
async function download(url: string, limit: number, options: AddKeysOptions): Promise<Buffer> {
  const transport = transportFor(options.config, options.env ?? process.env);
  const request = {
    kind: "download",
    url,
    limit,
    allowHttp: options.allowHttp,
    skipTlsCheck: options.skipTlsCheck,
    certificates: transport.certificates,
    proxies: transport.proxies,
  } as const;
  return decodeContent(await askVerifyWorker(request, []));
}

function showKey(armored: string, location: string, { prefix, dialog, emit }: AddKeysOptions): void {
  emit({ kind: "notice", source: "pubkey", text: `prefix: ${quoted(prefix)}\nkey: ${quoted(redacted(location))}` });
  for (const key of keysIn(dearmor(Buffer.from(armored), "PUBLIC KEY BLOCK") ?? Buffer.alloc(0))) {
    dialog.print(`gpg key fingerprint is: ${grouped(key.fingerprint)}`);
    for (const subkey of key.subkeys) dialog.print(`    Subkey fingerprint: ${grouped(subkey)}`);
    for (const userId of key.userIds) dialog.print(`\t${printable(userId)}`);
  }
}

interface KeySummary {
  readonly fingerprint: string;
  readonly subkeys: string[];
  readonly userIds: string[];
}

/** Every key of a file; none when a primary key is not of version 4, or does not come first. */
function keysIn(bytes: Buffer): KeySummary[] {
  const keys: KeySummary[] = [];
  for (const packet of packetsOf(bytes) ?? []) {
    if (packet.tag === TAG.publicKey) {
      const fingerprint = packetFingerprint(packet);
      if (fingerprint === undefined) return [];
      keys.push({ fingerprint, subkeys: [], userIds: [] });
    } else if (!addPart(keys.at(-1), packet)) return [];
  }
  return keys;
}

function addPart(key: KeySummary | undefined, packet: Packet): boolean {
  if (key === undefined) return false;
  const subkey = packet.tag === TAG.publicSubkey ? packetFingerprint(packet) : undefined;
  if (subkey !== undefined) key.subkeys.push(subkey);
  if (packet.tag === TAG.userId) key.userIds.push(packet.body.toString("utf8"));
  return true;
}

/** "8B86 DE38 890D DB72 9186  7B02 5210 BD88 8818 2190". */
function grouped(fingerprint: string): string {
  const groups = fingerprint.toUpperCase().match(/.{4}/g) ?? [];
  return `${groups.slice(0, 5).join(" ")}  ${groups.slice(5).join(" ")}`;
}

function isUrl(location: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(location);
}

function redacted(location: string): string {
  return isUrl(location) ? redactUrl(location) : printable(location);
}
