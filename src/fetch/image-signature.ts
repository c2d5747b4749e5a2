/** Where the detached signature of an App Container image comes from: `--signature`, or beside the image. */

import { closeSync, openSync } from "node:fs";
import { authHeaderFor, type Config } from "../config/mod.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { readAll } from "../host/beneath.ts";
import { isErrno, O } from "../host/mod.ts";
import { type FetchRequest, LARGEST_SIGNATURE } from "./messages.ts";

/** The signature as a local file: read by the caller, since it may lie where the worker cannot look. Its content is only passed on. Throws NOT_TRUSTED. */
export function localSignature(reference: ImageReference, given: string | undefined): Buffer | undefined {
  if (isUrl(given) || !["aci-file", "aci-url", "appc"].includes(reference.kind)) return undefined;
  const path = given ?? (reference.kind === "aci-file" ? signatureName(reference.path) : undefined);
  if (path === undefined) return undefined;
  let fd: number;
  try {
    fd = openSync(path, O.RDONLY | O.CLOEXEC | O.NONBLOCK);
  } catch (cause) {
    // None beside the image: whether that matters is for the next step to say.
    if (given === undefined && isErrno(cause, "ENOENT")) return undefined;
    throw new RktError("NOT_TRUSTED", `error opening signature file: ${quoted(path)} cannot be read`, { cause });
  }
  try {
    return readAll(fd, LARGEST_SIGNATURE, () => quoted(path));
  } finally {
    closeSync(fd);
  }
}

/** The signature that the worker has to download: where `--signature` says, or `beside` the image. */
export function remoteSignature(
  config: Config,
  given: string | undefined,
  beside: string | undefined,
): FetchRequest["signature"] {
  const url = isUrl(given) ? given : beside;
  return url === undefined ? undefined : { url, headers: authHeaderFor(config, url) };
}

/** The URL of the signature beside an image's URL. */
export function signatureUrl(image: string): string {
  const url = new URL(image);
  url.pathname = signatureName(url.pathname);
  return url.toString();
}

/** rkt 1.x: X.aci is signed by X.aci.asc, and any other file by FILE.aci.asc. */
function signatureName(image: string): string {
  return `${image.replace(/\.aci$/, "")}.aci.asc`;
}

/** Whether `--signature` names a place of the net. */
export function isUrl(text: string | undefined): text is string {
  return text !== undefined && /^https?:\/\//i.test(text);
}
