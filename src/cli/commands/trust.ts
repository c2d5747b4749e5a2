/** rkt trust: adds keys to the keystore. */

import { loadConfig } from "../../config/mod.ts";
import { RktError } from "../../core/errors.ts";
import type { AddKeysOptions } from "../../trust/mod.ts";
import type { Command, CommandInput } from "../command.ts";
import { CommandLineError } from "../command-line-error.ts";

export const command: Command = {
  name: "trust",
  summary: "Trust a key for image verification",
  usage: "[--prefix=PREFIX] [--insecure-allow-http] [--skip-fingerprint-review] [--root] [PUBKEY ...]",
  description: `Adds keys to the local keystore for use in verifying signed images.

PUBKEY may be either a local file or URL,
PREFIX scopes the applicability of PUBKEY to image names sharing PREFIX.
Meta discovery of PUBKEY at PREFIX will be attempted if no PUBKEY is specified.

To trust a key for all images instead of for specific images, --root can be specified. Path to a key file must be given (no discovery).`,
  flags: [
    { name: "prefix", kind: "string", usage: "prefix to limit trust to" },
    { name: "root", kind: "bool", usage: "add root key from filesystem without a prefix" },
    { name: "skip-fingerprint-review", kind: "bool", usage: "accept key without fingerprint confirmation" },
    { name: "insecure-allow-http", kind: "bool", usage: "allow HTTP use for key discovery and/or retrieval" },
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
  const prefix = flags.string("prefix");
  refuseUnclear(input, prefix);
  const { addKeys, findKeyLocations } = await import("../../trust/mod.ts");
  const options: AddKeysOptions = {
    prefix,
    localConfigDir: engine.localConfigDir,
    acceptAll: flags.bool("skip-fingerprint-review"),
    acceptHttps: engine.trustKeysFromHttps,
    allowHttp: flags.bool("insecure-allow-http"),
    skipTlsCheck: engine.insecure.tls,
    dialog: engine.dialog,
    config: loadConfig(engine),
    emit: engine.emit,
  };
  const locations =
    args.length > 0 ? args : await findKeyLocations(options).catch(wrapped("error determining key location"));
  await addKeys(locations, options).catch(wrapped("error adding keys"));
}

function refuseUnclear({ engine, flags, args }: CommandInput, prefix: string): void {
  if (prefix === "" && !flags.bool("root")) {
    if (args.length > 0) throw new RktError("USAGE", UNBOUNDED);
    throw new CommandLineError("at least one key or --prefix required");
  }
  if (prefix !== "" && flags.bool("root")) throw new RktError("USAGE", "--root and --prefix usage mutually exclusive");
  // rkt 1.x: without checks there is no keystore.
  if (engine.insecure.image) throw new RktError("CONFLICT", "could not get the keystore");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(prefix)?.[1];
  if (scheme !== undefined) throw new RktError("USAGE", `--prefix must not contain a URL scheme, omit ${scheme}://`);
}

function wrapped(what: string): (cause: unknown) => never {
  return (cause) => {
    throw new RktError(cause instanceof RktError ? cause.code : "INTERNAL", what, { cause });
  };
}
