/**
 * What a registry's name was last seen to stand for, so that a fetch of an unchanged image moves a few hundred bytes. Lies among the downloads, by hash of the name.
 * A cache: the document that it names is hashed again.
 */

import { closeSync, openSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import { O } from "../host/mod.ts";
import { field, optionalInteger, optionalText, readDocument, text } from "../spec/document.ts";
import { blobSize, type Cas, keepPart, newPart, openBlob, readPieces, writePart } from "./cas.ts";
import { digestOfBytes } from "./document-digest.ts";

export interface ManifestRecord {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly mediaType: string | undefined;
  /** Never "". */
  readonly etag: string;
}

/** The record and its document, from the store; undefined when either is missing or damaged. */
export function readManifestRecord(cas: Cas, key: string): (ManifestRecord & { readonly bytes: Buffer }) | undefined {
  try {
    const place = readDocument(readRecordFile(recordPath(cas, key)), "the record of a manifest");
    const digest = parseDigest(text(field(place, "digest")));
    const size = optionalInteger(field(place, "size"), 0, Number.MAX_SAFE_INTEGER) ?? 0;
    const etag = text(field(place, "etag"));
    const bytes = storedBytes(cas, digest, size);
    if (bytes === undefined || etag === "") return undefined;
    return { digest, size, etag, mediaType: optionalText(field(place, "mediaType")), bytes };
  } catch {
    return undefined;
  }
}

export function writeManifestRecord(cas: Cas, key: string, record: ManifestRecord): void {
  const part = newPart(cas, "record");
  writePart(part, Buffer.from(JSON.stringify({ ...record, digest: formatDigest(record.digest) })), 0);
  renameSync(part.path, recordPath(cas, key));
  keepPart(part);
}

/** A small document of the store; undefined when there is none with this digest and size. */
export function storedBytes(cas: Cas, digest: Digest, size: number): Buffer | undefined {
  if (blobSize(cas, digest) !== size) return undefined;
  const fd = openBlob(cas, digest);
  try {
    const bytes = Buffer.concat([...readPieces(fd, 0, size)].map((piece) => Buffer.from(piece)));
    return digestOfBytes(digest.algorithm, bytes).hex === digest.hex ? bytes : undefined;
  } finally {
    closeSync(fd);
  }
}

function readRecordFile(path: string): string {
  const fd = openSync(path, O.RDONLY | O.NOFOLLOW | O.CLOEXEC | O.NONBLOCK);
  try {
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function recordPath(cas: Cas, key: string): string {
  return join(cas.downloads, `manifest-${key}.json`);
}
