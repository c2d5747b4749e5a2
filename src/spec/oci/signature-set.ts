/**
 * The signatures found for an OCI image as one JSON document: on the pipe of the fetch worker, and in the store, where a later command verifies them again. Its
 * limits hold on both sides: whoever pushes to a registry can put as many and as large "signatures" there as they like.
 */

import type { SignatureDocument, SignatureSet } from "../../core/spine.ts";
import { printable } from "../../core/text.ts";
import { complaint, field, items, optionalText, type Place, text } from "../document.ts";
import { jsonText, ordered, type Writable } from "../json-text.ts";

export const SIGNATURE_LIMITS = {
  /** Signatures of one image. */
  documents: 64,
  /** Bytes of one signature. A bundle with its log entry has about 10 KB. */
  document: 128 * 1024,
  /** Bytes of one index; a larger one is not kept, and signatures over it do not count. */
  index: 256 * 1024,
  indexes: 3,
  /** Bytes of everything together. */
  all: 2 * 1024 * 1024,
} as const;

/** The document as JSON text. Takes what {@link decodeSignatureSet} would take. */
export function encodeSignatureSet(set: SignatureSet): string {
  return `${jsonText(
    ordered(
      ["documents", set.documents.map(encodeDocument)],
      ["indexes", set.indexes.map(base64)],
      ["searched", set.searched],
    ),
  )}\n`;
}

/** Throws INVALID_INPUT, also for more or larger documents than {@link SIGNATURE_LIMITS} allows. */
export function decodeSignatureSet(place: Place): SignatureSet {
  const documents = items(field(place, "documents"));
  const indexes = items(field(place, "indexes"));
  if (documents.length > SIGNATURE_LIMITS.documents) {
    throw complaint(place, `expected at most ${SIGNATURE_LIMITS.documents} signatures, got ${documents.length}`);
  }
  if (indexes.length > SIGNATURE_LIMITS.indexes) throw complaint(place, "expected fewer indexes");
  const set = {
    documents: documents.map(decodeDocument),
    indexes: indexes.map((index) => bytes(index, SIGNATURE_LIMITS.index)),
    searched: items(field(place, "searched"))
      .slice(0, 64)
      .map((one) => printable(text(one), 512)),
  };
  if (sizeOfSet(set) > SIGNATURE_LIMITS.all) throw complaint(place, `expected at most ${SIGNATURE_LIMITS.all} bytes`);
  return set;
}

/** Bytes of all documents and indexes. */
export function sizeOfSet({ documents, indexes }: Pick<SignatureSet, "documents" | "indexes">): number {
  return (
    documents.reduce((sum, one) => sum + sizeOfDocument(one), 0) + indexes.reduce((sum, one) => sum + one.length, 0)
  );
}

export function sizeOfDocument(document: SignatureDocument): number {
  if (document.kind !== "cosign") return document.content.length;
  const { content, signature, certificate = "", chain = "", logEntry = "", timestamp = "" } = document;
  return [content, signature, certificate, chain, logEntry, timestamp].reduce((sum, part) => sum + part.length, 0);
}

function encodeDocument(document: SignatureDocument): Writable {
  const content: [string, Writable][] = [
    ["kind", document.kind],
    ["content", base64(document.content)],
  ];
  if (document.kind !== "cosign") return ordered(...content);
  const { signature, certificate, chain, logEntry, timestamp } = document;
  return ordered(
    ...content,
    ["signature", signature],
    ["certificate", certificate],
    ["chain", chain],
    ["logEntry", logEntry],
    ["timestamp", timestamp],
  );
}

function decodeDocument(place: Place): SignatureDocument {
  const kind = text(field(place, "kind"));
  const content = bytes(field(place, "content"), SIGNATURE_LIMITS.document);
  if (kind === "bundle" || kind === "simple") return { kind, content };
  if (kind !== "cosign") throw complaint(field(place, "kind"), "is not known");
  return {
    kind,
    content,
    signature: short(field(place, "signature")) ?? "",
    certificate: short(field(place, "certificate")),
    chain: short(field(place, "chain")),
    logEntry: short(field(place, "logEntry")),
    timestamp: short(field(place, "timestamp")),
  };
}

function short(place: Place): string | undefined {
  const value = optionalText(place);
  if (value !== undefined && value.length > SIGNATURE_LIMITS.document) throw complaint(place, "is too long");
  return value;
}

function bytes(place: Place, limit: number): Buffer {
  const encoded = text(place);
  if (encoded.length > Math.ceil(limit / 3) * 4) throw complaint(place, `expected at most ${limit} bytes`);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) throw complaint(place, "expected base64");
  return Buffer.from(encoded, "base64");
}

function base64(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.length).toString("base64");
}
