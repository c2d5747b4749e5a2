/**
 * The records of the store: small JSON files (docs/on-disk-format.md). `cas/images/ID.json` is written by whoever fetches and believed by nobody with more
 * rights; `cas/verified/ID.json` is the same record with the verdict, written and believed by root. The decoders take nothing for granted.
 */

import { type Digest, formatDigest, type ImageId, parseDigest, parseImageId } from "../core/digest.ts";
import type { BlobRef, Labels, OciSource, StoredImage, Verification, VerifiedImage } from "../core/spine.ts";
import { isAcIdentifier } from "../spec/appc/names.ts";
import {
  complaint,
  field,
  flag,
  isPresent,
  items,
  optionalInteger,
  optionalText,
  type Place,
  readDocument,
  text,
} from "../spec/document.ts";
import { jsonText, ordered, type Writable } from "../spec/json-text.ts";

/** What a record says; {@link StoredImage} adds what the file system knows. */
export interface ImageRecord {
  readonly id: ImageId;
  readonly format: "aci" | "oci";
  readonly name: string;
  readonly labels: Labels;
  readonly origin: string;
  /** The references that were fetched as this image, as {@link nameKey}s. */
  readonly refs: readonly string[];
  /** Fetched by a name without a version: preferred when a name without a version is looked up. */
  readonly latest: boolean;
  readonly importTime: bigint;
  readonly layers: StoredImage["layers"];
  readonly manifest: BlobRef | undefined;
  readonly config: BlobRef | undefined;
  readonly source: OciSource | undefined;
  /** ACI: bytes of the uncompressed archive. */
  readonly uncompressedSize: number | undefined;
  /** In root's record only. */
  readonly verification: Verification | undefined;
}

/** The record of a freshly fetched image. */
export function recordOf(
  { download, verification }: VerifiedImage,
  more: { refs: readonly string[]; latest: boolean; importTime: bigint },
): ImageRecord {
  const aci = download.format === "aci" ? download : undefined;
  const oci = download.format === "oci" ? download : undefined;
  return {
    id: download.id,
    format: download.format,
    name: download.name,
    labels: download.labels,
    origin: download.origin,
    ...more,
    layers: aci === undefined ? (oci?.layers ?? []) : [{ ...aci.archive, diffId: undefined }],
    manifest: oci?.manifest,
    config: oci?.config,
    source: oci?.source,
    uncompressedSize: aci?.uncompressedSize,
    verification,
  };
}

/** Every blob of an image. */
export function blobsOf(image: Pick<StoredImage, "layers" | "manifest" | "config">): BlobRef[] {
  return [...image.layers, image.manifest, image.config].filter((blob) => blob !== undefined);
}

/** `verdict`: with the verification (root's record) or without. */
export function encodeRecord(record: ImageRecord, verdict: "with verdict" | "without verdict"): string {
  const document = ordered(
    ["id", record.id],
    ["format", record.format],
    ["name", record.name],
    ["labels", record.labels.map(({ name, value }) => ordered(["name", name], ["value", value]))],
    ["origin", record.origin],
    ["refs", record.refs],
    ["latest", record.latest],
    // As text: nanoseconds do not fit a JSON number.
    ["importTime", String(record.importTime)],
    ["layers", record.layers.map((layer) => encodeBlob(layer, layer.diffId))],
    ["manifest", record.manifest && encodeBlob(record.manifest, undefined)],
    ["config", record.config && encodeBlob(record.config, undefined)],
    ["source", record.source && encodeSource(record.source)],
    ["uncompressedSize", record.uncompressedSize],
    ["verification", verdict === "with verdict" && record.verification ? { ...record.verification } : undefined],
  );
  return `${jsonText(document, "\t")}\n`;
}

/** Decodes the record of image `id`. Throws INVALID_INPUT; `document` names the file in it. */
export function decodeRecord(json: string, document: string, id: ImageId): ImageRecord {
  const root = readDocument(json, document);
  if (text(field(root, "id")) !== id) throw complaint(field(root, "id"), `expected ${id}, the name of the file`);
  const format = oneOf(field(root, "format"), ["aci", "oci"] as const);
  const importTime = text(field(root, "importTime"));
  if (!/^[0-9]{1,19}$/.test(importTime)) throw complaint(field(root, "importTime"), "expected nanoseconds");
  const layers = items(field(root, "layers")).map((place) => ({
    ...decodeBlob(place),
    diffId: optional(field(place, "diffId"), decodeDigest),
  }));
  if (format === "aci" && layers.length !== 1) throw complaint(field(root, "layers"), "expected one archive");
  if (format === "oci" && layers.some(({ diffId }) => diffId === undefined)) {
    throw complaint(field(root, "layers"), "expected a diffId with every layer");
  }
  return {
    id,
    format,
    name: identifier(field(root, "name")),
    labels: items(field(root, "labels")).map((place) => ({
      name: identifier(field(place, "name")),
      value: text(field(place, "value")),
    })),
    origin: text(field(root, "origin")),
    refs: items(field(root, "refs")).map(decodeKey),
    latest: flag(field(root, "latest")),
    importTime: BigInt(importTime),
    layers,
    manifest: format === "oci" ? decodeBlob(field(root, "manifest")) : undefined,
    config: format === "oci" ? decodeBlob(field(root, "config")) : undefined,
    source: format === "oci" ? optional(field(root, "source"), decodeSource) : undefined,
    uncompressedSize: optionalInteger(field(root, "uncompressedSize"), 0, Number.MAX_SAFE_INTEGER),
    verification: optional(field(root, "verification"), decodeVerification),
  };
}

/**
 * The key of a name or URL: its record's file name. A hash, because a name may hold any character, and because the query of a URL may hold a secret that must not
 * lie in the store.
 */
export function nameKey(name: string): string {
  return new Bun.CryptoHasher("sha256").update(name).digest("hex");
}

/** The key of an App Container name ("example.com/app:v1") that somebody gave an image: no fetched name or URL has the same. */
export function tagKey(name: string): string {
  return nameKey(`tag:${name}`);
}

/** The record of a name: the image that it stands for, and the name itself where somebody gave it. */
export function encodeRef(id: ImageId, tag?: string): string {
  return `${jsonText(ordered(["id", id], ["tag", tag]))}\n`;
}

/** Throws INVALID_INPUT. */
export function decodeRef(json: string, document: string): ImageId {
  return parseImageId(text(field(readDocument(json, document), "id")));
}

/** `name` is undefined for a name that came with a fetch. Throws INVALID_INPUT, also when the name is not that of the file `document`. */
export function decodeTag(json: string, document: string): { id: ImageId; name: string | undefined } {
  const name = optionalText(field(readDocument(json, document), "tag"));
  const keys = name === undefined ? [] : [nameKey(name), tagKey(name)];
  // Whoever may write the file must not make a list say another name than the one that leads to the image.
  if (name !== undefined && !keys.some((key) => document.includes(key)))
    throw complaint(field(readDocument(json, document), "tag"), "is not the name of this record");
  return { id: decodeRef(json, document), name };
}

function encodeBlob(blob: BlobRef, diffId: Digest | undefined): Writable {
  return ordered(
    ["digest", formatDigest(blob.digest)],
    ["size", blob.size],
    ["mediaType", blob.mediaType],
    ["diffId", diffId && formatDigest(diffId)],
  );
}

function decodeBlob(place: Place): BlobRef {
  const size = optionalInteger(field(place, "size"), 0, Number.MAX_SAFE_INTEGER);
  if (size === undefined) throw complaint(field(place, "size"), "is missing");
  return { digest: decodeDigest(field(place, "digest")), size, mediaType: text(field(place, "mediaType")) };
}

function decodeDigest(place: Place): Digest {
  return parseDigest(text(place));
}

function decodeKey(place: Place): string {
  const key = text(place);
  if (!/^[0-9a-f]{64}$/.test(key)) throw complaint(place, "expected 64 hexadecimal digits");
  return key;
}

function encodeSource({ registry, repository, reference }: OciSource): Writable {
  return ordered(["registry", registry], ["repository", repository], ["reference", reference]);
}

function decodeSource(place: Place): OciSource {
  return {
    registry: optionalText(field(place, "registry")),
    repository: optionalText(field(place, "repository")),
    reference: text(field(place, "reference")),
  };
}

function decodeVerification(place: Place): Verification {
  const kinds = ["openpgp", "sigstore-key", "sigstore-identity", "policy", "builtin", "insecure"] as const;
  const kind = oneOf(field(place, "kind"), kinds);
  if (kind === "builtin" || kind === "insecure") return { kind };
  const trustedBy = optionalText(field(place, "trustedBy"));
  const signedAs = {
    ...(trustedBy === undefined ? {} : { trustedBy }),
    ...(flag(field(place, "nameClaimed")) ? ({ nameClaimed: true } as const) : {}),
  };
  if (kind === "policy") return { kind, ...signedAs };
  if (kind === "sigstore-identity") {
    return { kind, identity: text(field(place, "identity")), issuer: text(field(place, "issuer")), ...signedAs };
  }
  const fingerprint = text(field(place, "fingerprint"));
  const digits = kind === "openpgp" ? 40 : 64;
  if (!/^[0-9a-f]+$/.test(fingerprint) || fingerprint.length !== digits)
    throw complaint(field(place, "fingerprint"), `expected ${digits} hexadecimal digits`);
  return { kind, fingerprint, ...signedAs };
}

function identifier(place: Place): string {
  const value = text(place);
  if (!isAcIdentifier(value)) throw complaint(place, "expected an AC identifier");
  return value;
}

function oneOf<T extends string>(place: Place, values: readonly T[]): T {
  const value = text(place);
  const found = values.find((known) => known === value);
  if (found === undefined) throw complaint(place, `expected one of ${values.join(", ")}`);
  return found;
}

function optional<T>(place: Place, decode: (place: Place) => T): T | undefined {
  return isPresent(place) ? decode(place) : undefined;
}
