/**
 * What an ACI's URL was last seen to hold: for a later fetch of the same URL, and for others that wait for this one. Lies among the downloads, by hash of the URL
 * (which may hold secrets). It saves requests and passes over the archive, and decides nothing: the caller believes it no more than any other word of the worker,
 * and whoever unpacks the archive hashes it again.
 */

import { closeSync, lstatSync, openSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { formatDigest, parseDigest, parseImageId } from "../core/digest.ts";
import { O } from "../host/mod.ts";
import { parseImageManifest } from "../spec/appc/image-manifest.ts";
import { field, optionalInteger, optionalText, readDocument, text } from "../spec/document.ts";
import type { Archive } from "./aci-archive.ts";
import { blobPath, type Cas, keepPart, newPart, writePart } from "./cas.ts";

export interface AciRecord {
  readonly archive: Archive;
  /** "" when the server sent none. */
  readonly etag: string;
  /** Seconds for which the server need not be asked again, from `checked` on. */
  readonly maxAge: number;
  /** Milliseconds since the epoch. */
  readonly checked: number;
  /** The signature that came with it, and its URL; undefined when none was wanted. */
  readonly signature: { readonly url: string; readonly bytes: Buffer } | undefined;
}

/** Undefined when there is none, none that can be read, or when the blob is not the very file that was looked through. */
export function readAciRecord(cas: Cas, key: string): AciRecord | undefined {
  try {
    const place = readDocument(readRecordFile(recordPath(cas, key)), "the record of a download");
    const number = (name: string) => optionalInteger(field(place, name), 0, Number.MAX_SAFE_INTEGER) ?? 0;
    const manifest = Buffer.from(text(field(place, "manifest")), "base64");
    const { name, labels } = parseImageManifest(manifest.toString("utf8"));
    const digest = parseDigest(text(field(place, "digest")));
    const signature = optionalText(field(place, "signature"));
    const record: AciRecord = {
      archive: {
        format: "aci",
        id: parseImageId(text(field(place, "id"))),
        archive: { digest, size: number("size"), mediaType: text(field(place, "mediaType")) },
        uncompressedSize: number("uncompressedSize"),
        manifest,
        name,
        labels,
      },
      etag: text(field(place, "etag")),
      maxAge: number("maxAge"),
      // Never from the future, or a clock that was wrong once would keep a record for ever.
      checked: Math.min(number("checked"), Date.now()),
      signature:
        signature === undefined ? undefined : { url: text(field(place, "signatureUrl")), bytes: base64(signature) },
    };
    return text(field(place, "file")) === fileMark(cas, record.archive) ? record : undefined;
  } catch {
    return undefined;
  }
}

export function writeAciRecord(cas: Cas, key: string, record: AciRecord): void {
  const { archive } = record;
  const content = {
    id: archive.id,
    digest: formatDigest(archive.archive.digest),
    size: archive.archive.size,
    mediaType: archive.archive.mediaType,
    uncompressedSize: archive.uncompressedSize,
    manifest: Buffer.from(archive.manifest).toString("base64"),
    etag: record.etag,
    maxAge: record.maxAge,
    checked: record.checked,
    signature: record.signature?.bytes.toString("base64"),
    signatureUrl: record.signature?.url,
    file: fileMark(cas, archive),
  };
  const part = newPart(cas, "record");
  writePart(part, Buffer.from(JSON.stringify(content)), 0);
  renameSync(part.path, recordPath(cas, key));
  keepPart(part);
}

/** What changes when somebody else's content takes the blob's place. */
function fileMark(cas: Cas, { archive }: Archive): string {
  const status = lstatSync(blobPath(cas, archive.digest), { bigint: true });
  return `${status.ino} ${status.mtimeNs} ${status.size}`;
}

function readRecordFile(path: string): string {
  const fd = openSync(path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC | O.NONBLOCK);
  try {
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function base64(encoded: string): Buffer {
  return Buffer.from(encoded, "base64");
}

function recordPath(cas: Cas, key: string): string {
  return join(cas.downloads, `aci-${key}.json`);
}
