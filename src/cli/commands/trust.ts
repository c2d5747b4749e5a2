/** rkt trust: adds keys and identities to the keystore, lists them, and takes them out. */

import { loadConfig } from "../../config/mod.ts";
import { RktError } from "../../core/errors.ts";
import { printable, quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { ordered, type Writable } from "../../spec/json-text.ts";
import type { AddKeysOptions, IdentityTrust, TrustListing } from "../../trust/mod.ts";
import type { Command, CommandInput, FlagValues } from "../command.ts";
import { CommandLineError } from "../command-line-error.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../output-format.ts";
import { formatTable } from "../table.ts";

export const command: Command = {
  name: "trust",
  summary: "Trust a key for image verification",
  usage:
    "[--prefix=PREFIX] [--insecure-allow-http] [--skip-fingerprint-review] [--root] [--list|--remove] [--identity=WHO --issuer=URL [--trusted-root=FILE]] [PUBKEY ...]",
  description: `Adds keys to the local keystore for use in verifying signed images.

PUBKEY may be either a local file or URL: an OpenPGP key, or a public key in PEM form as cosign makes them.
PREFIX scopes the applicability of PUBKEY to image names sharing PREFIX.
Meta discovery of PUBKEY at PREFIX will be attempted if no PUBKEY is specified.

To trust a key for all images instead of for specific images, --root can be specified. Path to a key file must be given (no discovery).

With --identity (or --identity-regexp, which must match the whole) and --issuer, images are accepted that were signed with a certificate of that identity: an e-mail address, or the URL of a workflow. FILE is the trusted root (Sigstore's trusted_root.json, or several, each on a line) whose authorities vouch for it; without one, trustedkeys/trusted_root.json of the configuration directory counts.

--list shows what is trusted and for which prefix; with --prefix, what counts for an image of that name. --remove takes the trust in keys (by fingerprint) or in an identity back.`,
  flags: [
    { name: "prefix", kind: "string", usage: "prefix to limit trust to" },
    { name: "root", kind: "bool", usage: "add root key from filesystem without a prefix" },
    { name: "skip-fingerprint-review", kind: "bool", usage: "accept key without fingerprint confirmation" },
    { name: "insecure-allow-http", kind: "bool", usage: "allow HTTP use for key discovery and/or retrieval" },
    { name: "identity", kind: "string", usage: "identity to trust, as it stands in certificates" },
    { name: "identity-regexp", kind: "string", usage: "regular expression for identities to trust" },
    { name: "issuer", kind: "string", usage: "URL of who vouched for the identity (OpenID Connect issuer)" },
    { name: "trusted-root", kind: "string", usage: "file with the authorities that certify the identity" },
    { name: "list", kind: "bool", exclusiveGroup: "action", usage: "show what is trusted" },
    { name: "remove", kind: "bool", exclusiveGroup: "action", usage: "take trust back" },
    FORMAT_FLAG,
  ],
  run: trustCommand,
};

const UNBOUNDED = `aborting due to implicit unbounded trust (root domain)
Please provide a specific domain prefix to trust:
    rkt trust --prefix "example.com/foo" [PUBKEY]
    rkt trust --prefix "example.com/foo/*" [PUBKEY]
Otherwise, trust at the root domain (not recommended) must be explicitly requested:
    rkt trust --root PUBKEY`;

async function trustCommand(input: CommandInput): Promise<void> {
  const { engine, flags, args } = input;
  if (flags.bool("list")) return listCommand(input);
  const prefix = flags.string("prefix");
  const identity = givenIdentity(flags);
  refuseUnclear(input, prefix, identity !== undefined);
  if (flags.bool("remove")) return removeCommand(input, prefix, identity);
  const { addIdentity, addKeys, findKeyLocations } = await import("../../trust/mod.ts");
  const options: AddKeysOptions = {
    prefix,
    systemConfigDir: engine.systemConfigDir,
    localConfigDir: engine.localConfigDir,
    acceptAll: flags.bool("skip-fingerprint-review"),
    acceptHttps: engine.trustKeysFromHttps,
    allowHttp: flags.bool("insecure-allow-http"),
    skipTlsCheck: engine.insecure.tls,
    dialog: engine.dialog,
    config: loadConfig(engine),
    emit: engine.emit,
  };
  if (identity !== undefined) {
    const root = flags.given("trusted-root") ? flags.string("trusted-root") : undefined;
    await addIdentity(identity, root, options).catch(wrapped("error adding identity"));
    if (args.length === 0) return;
  }
  const locations =
    args.length > 0 ? args : await findKeyLocations(options).catch(wrapped("error determining key location"));
  await addKeys(locations, options).catch(wrapped("error adding keys"));
}

async function listCommand({ engine, flags, output }: CommandInput): Promise<void> {
  const { listTrust, policyFile } = await import("../../trust/mod.ts");
  const format = jsonFormat(flags);
  const listing = listTrust(engine, flags.string("prefix"), engine.emit);
  const policy = policyFile(engine);
  if (policy !== undefined) {
    const text = `${quoted(policy)} is in force: for OCI images it decides before what is listed here`;
    engine.emit({ kind: "notice", source: "trust", text });
  }
  if (format !== undefined) {
    output.stdout(formatted(listing.map(listingJson), format));
    return;
  }
  const rows = listing.map((one) => [one.prefix || "(all images)", one.kind, ...signerCells(one)]);
  output.stdout(formatTable([["PREFIX", "KIND", "SIGNER", "ISSUER"], ...rows]));
}

function signerCells(one: TrustListing): [string, string] {
  if (one.kind === "openpgp") return [one.fingerprint, "-"];
  if (one.kind === "sigstore-key") return [`sha256:${one.fingerprint}`, "-"];
  return [printable(one.identity ?? `/${one.identityRegexp}/`), printable(one.issuer)];
}

function listingJson(one: TrustListing): Writable {
  const isIdentity = one.kind === "sigstore-identity";
  return ordered(
    ["prefix", one.prefix],
    ["kind", one.kind],
    ["fingerprint", isIdentity ? undefined : one.fingerprint],
    ["identity", isIdentity ? one.identity : undefined],
    ["identity_regexp", isIdentity ? one.identityRegexp : undefined],
    ["issuer", isIdentity ? one.issuer : undefined],
    ["path", one.path],
  );
}

async function removeCommand(
  { engine, args, output }: CommandInput,
  prefix: string,
  identity: IdentityTrust | undefined,
): Promise<void> {
  const { removeIdentity, removeKey } = await import("../../trust/mod.ts");
  const paths = [
    ...(identity === undefined ? [] : removeIdentity(linux, engine, prefix, identity)),
    ...args.flatMap((key) => removeKey(linux, engine, prefix, key)),
  ];
  if (paths.length === 0) throw new CommandLineError("at least one fingerprint or --identity required");
  for (const path of paths) output.stdout(`Not trusted any more: ${quoted(path)}\n`);
}

function givenIdentity(flags: FlagValues): IdentityTrust | undefined {
  const text = (name: string) => (flags.given(name) ? flags.string(name) : undefined);
  const [identity, identityRegexp, issuer] = [text("identity"), text("identity-regexp"), text("issuer")];
  if (identity === undefined && identityRegexp === undefined && issuer === undefined) {
    if (flags.given("trusted-root")) throw new CommandLineError("--trusted-root needs --identity and --issuer");
    return undefined;
  }
  if ((identity === undefined) === (identityRegexp === undefined) || issuer === undefined) {
    throw new CommandLineError("--identity or --identity-regexp (one of them) and --issuer required");
  }
  return { identity, identityRegexp, issuer };
}

function refuseUnclear({ engine, flags, args }: CommandInput, prefix: string, hasIdentity: boolean): void {
  if (prefix === "" && !flags.bool("root")) {
    if (args.length > 0 || hasIdentity) throw new RktError("USAGE", UNBOUNDED);
    throw new CommandLineError("at least one key or --prefix required");
  }
  if (prefix !== "" && flags.bool("root")) throw new RktError("USAGE", "--root and --prefix usage mutually exclusive");
  // rkt 1.x: without checks there is no keystore.
  if (engine.insecure.image) throw new RktError("CONFLICT", "could not get the keystore");
  // A host may have a port: "registry.example:5000/team" has no scheme.
  const scheme = /^([a-z][a-z0-9+.-]*):(?![0-9]{1,5}(?:\/|$))/i.exec(prefix)?.[1];
  if (scheme !== undefined) throw new RktError("USAGE", `--prefix must not contain a URL scheme, omit ${scheme}://`);
}

function wrapped(what: string): (cause: unknown) => never {
  return (cause) => {
    throw new RktError(cause instanceof RktError ? cause.code : "INTERNAL", what, { cause });
  };
}
