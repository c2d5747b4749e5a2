/** Finds the entry `manifest` in an ACI's tar stream while the stream passes by on its way to a hash (spec/aci.md, "Image Layout"). */

import { RktError } from "../core/errors.ts";
import { padded, TAR_BLOCK, tarHeaders } from "./tar-headers.ts";

/** A longer manifest is refused, here and by the unpacker. */
export const LARGEST_MANIFEST = 4 * 1024 * 1024;

export interface ManifestScan {
  /** Takes the next bytes of the uncompressed tar. Throws INVALID_INPUT when it is no tar. */
  feed(chunk: Uint8Array): void;
  /** The manifest's bytes. Throws INVALID_INPUT when there was none. */
  finish(): Buffer;
}

export function scanForManifest(): ManifestScan {
  const headers = tarHeaders();
  let found: Buffer | undefined;
  let done = false;
  /** What is being collected, and how many bytes of it are missing; `skip` bytes of no interest come first. */
  let wanted: "header" | "extension" | "manifest" = "header";
  let size = TAR_BLOCK;
  let collected: Uint8Array[] = [];
  let missing = TAR_BLOCK;
  let skip = 0;

  const collect = (what: typeof wanted, bytes: number) => {
    wanted = what;
    size = bytes;
    collected = [];
    missing = bytes;
  };
  const complete = () => {
    const bytes = Buffer.concat(collected, size);
    const padding = padded(size) - size;
    if (wanted === "header") return header(bytes);
    if (wanted === "manifest") {
      found = bytes;
      done = true;
      return;
    }
    headers.extension(bytes);
    skip = padding;
    collect("header", TAR_BLOCK);
  };
  const header = (block: Buffer) => {
    const next = headers.header(block);
    if (next.type === "end") {
      done = true;
    } else if (next.type === "extension") {
      collect("extension", next.size);
      if (next.size === 0) complete();
    } else if (next.entry.name === "manifest" && next.entry.kind === "file") {
      if (next.entry.size > LARGEST_MANIFEST) {
        throw new RktError(
          "INVALID_INPUT",
          `Cannot read the image: its manifest has ${next.entry.size} bytes, expected at most ${LARGEST_MANIFEST}`,
        );
      }
      collect("manifest", next.entry.size);
      if (next.entry.size === 0) complete();
    } else {
      skip = padded(next.entry.size);
      collect("header", TAR_BLOCK);
    }
  };

  return {
    feed(chunk) {
      for (let at = 0; at < chunk.length && !done; ) {
        const step = Math.min(skip > 0 ? skip : missing, chunk.length - at);
        if (skip > 0) {
          skip -= step;
        } else {
          // A copy: the caller's buffer is used again.
          collected.push(Buffer.from(chunk.subarray(at, at + step)));
          missing -= step;
        }
        at += step;
        if (skip === 0 && missing === 0) complete();
      }
    },
    finish() {
      if (found === undefined)
        throw new RktError("INVALID_INPUT", `Cannot read the image: the archive holds no file "manifest"`);
      return found;
    },
  };
}
