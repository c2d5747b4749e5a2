/**
 * What an ACI's URL was last seen to hold: for a later fetch of the same URL, and for others that wait for this one. Lies among the downloads, by hash of the URL
 * (which may hold secrets). A cache: it decides only whether to ask the server, and what it names is checked again.
 */

import { closeSync, openSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import { O } from "../host/mod.ts";
import { field, optionalInteger, readDocument, text } from "../spec/document.ts";
import { type Cas, keepPart, newPart, writePart } from "./cas.ts";

export interface AciRecord {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** "" when the server sent none. */
  readonly etag: string;
  /** Seconds for which the server need not be asked again, from `checked` on. */
  readonly maxAge: number;
  /** Milliseconds since the epoch. */
  readonly checked: number;
}

/** Undefined when there is none, or none that can be read. */
export function readAciRecord(cas: Cas, key: string): AciRecord | undefined {
  try {
    const fd = openSync(recordPath(cas, key), O.RDONLY | O.NOFOLLOW | O.CLOEXEC | O.NONBLOCK);
    try {
      const place = readDocument(readFileSync(fd, "utf8"), "the record of a download");
      const number = (name: string) => optionalInteger(field(place, name), 0, Number.MAX_SAFE_INTEGER) ?? 0;
      return {
        digest: parseDigest(text(field(place, "digest"))),
        size: number("size"),
        etag: text(field(place, "etag")),
        maxAge: number("maxAge"),
        // Never from the future, or a clock that was wrong once would keep a record for ever.
        checked: Math.min(number("checked"), Date.now()),
      };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

export function writeAciRecord(cas: Cas, key: string, record: AciRecord): void {
  const part = newPart(cas, "record");
  writePart(part, Buffer.from(JSON.stringify({ ...record, digest: formatDigest(record.digest) })), 0);
  renameSync(part.path, recordPath(cas, key));
  keepPart(part);
}

function recordPath(cas: Cas, key: string): string {
  return join(cas.downloads, `aci-${key}.json`);
}
