/**
 * What identifies the file that a part is the beginning of (RFC 9110 section 8.8, a strong ETag or a date): kept in a file beside the part, so that a download can go
 * on after a crash or a reboot.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { O } from "../host/mod.ts";
import { type PartFile, removeFile } from "./cas.ts";

const LONGEST = 1024;

export function readValidator(part: PartFile): string | undefined {
  try {
    const text = readFileSync(besidePart(part), { encoding: "latin1", flag: O.RDONLY | O.NOFOLLOW | O.NONBLOCK });
    return text.length <= LONGEST && /^[\x20-\x7e]+$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Weak validators do not allow to continue (section 13.1.5): none is kept then. */
export function writeValidator(part: PartFile, headers: Headers): void {
  const etag = headers.get("etag");
  const validator = etag !== null && !etag.startsWith("W/") ? etag : (headers.get("last-modified") ?? "");
  try {
    // Never a link of somebody else's: only a file of our own is written to.
    removeFile(besidePart(part));
    if (validator !== "" && validator.length <= LONGEST) {
      writeFileSync(besidePart(part), validator, { encoding: "latin1", flag: "wx", mode: 0o660 });
    }
  } catch {
    // A full disk, perhaps: then an interrupted download starts again.
  }
}

/**
 * Whether a part of a file (status 206) belongs to the file that `validator` stands for. If-Range asks the server for that, but simple servers do not know it: then
 * what they send says which file it is of (RFC 9110 section 15.3.7).
 */
export function isSameFile(validator: string, headers: Headers): boolean {
  if (validator.startsWith('"')) return headers.get("etag") === validator;
  const date = headers.get("last-modified");
  return date === null || date === validator;
}

export function forgetValidator(part: PartFile): void {
  removeFile(besidePart(part));
}

function besidePart(part: PartFile): string {
  return `${part.path}.validator`;
}
