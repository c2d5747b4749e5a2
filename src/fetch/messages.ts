/**
 * What root and the fetch worker say to each other. The worker believes its caller. The caller believes nothing: the worker has just eaten what strangers wrote, so
 * its answer is decoded like any file from outside.
 */

import type { ProxySettings } from "../config/proxy.ts";
import type { Certificates } from "../config/transport.ts";
import { type Digest, parseDigest, parseImageId } from "../core/digest.ts";
import { ERROR_CODES, type ErrorCode, RktError } from "../core/errors.ts";
import type { RktEvent } from "../core/events.ts";
import type { AciDownload, BlobRef, Download, ImageReference, Labels, LayerRef, OciDownload } from "../core/spine.ts";
import { printable } from "../core/text.ts";
import type { ImageEndpoint } from "../spec/appc/discovery.ts";
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
import type { JsonValue } from "../spec/json-value.ts";
import type { WantedPlatform } from "../spec/oci/mod.ts";
import { decodeSignatureSet, encodeSignatureSet } from "../spec/oci/signature-set.ts";
import type { SignaturePlaces } from "./fetch-oci.ts";
import type { HttpSettings } from "./http.ts";
import type { RegistryPlace } from "./registry.ts";

/** Descriptors that the worker gets besides its pipes: the store's two directories, and the image's file or directory if it is a local one. */
export const FD = { blobs: 3, downloads: 4, source: 5 } as const;

/** A detached signature has a few hundred bytes for each signer. */
export const LARGEST_SIGNATURE = 1024 * 1024;

/** How a worker reaches servers: everything that it would otherwise look for in an environment or in files. */
export interface NetworkRequest {
  readonly insecureTls: boolean;
  readonly insecureHttp: boolean;
  /** Hosts that may be spoken to without TLS all the same. */
  readonly plainHosts: readonly string[];
  readonly proxies: ProxySettings;
  readonly certificates: Certificates;
  /** A certificate of ours for one host. */
  readonly client: HttpSettings["client"];
  /** Keys that sign the requests to one host. */
  readonly aws?: HttpSettings["aws"];
}

/** Asks where a name's image is. */
export interface DiscoverRequest extends NetworkRequest {
  readonly name: string;
  readonly labels: Labels;
  /** Credentials for the name's host, for each of its discoveryPlaces. */
  readonly headers: readonly Readonly<Record<string, string>>[];
}

export interface FetchRequest extends NetworkRequest {
  readonly reference: ImageReference;
  /** The reference as it may be shown and recorded. */
  readonly origin: string;
  readonly platform: WantedPlatform;
  /** Where an image of a registry is taken from, and the one credential for that. */
  readonly place: RegistryPlace | undefined;
  /** Another server will be asked when this one fails. */
  readonly isMirror: boolean;
  /** An ACI is transferred and stored whatever an earlier fetch has noted and stored. */
  readonly anew: boolean;
  /** The caller unpacks the image next, which checks its layers' diff ids. */
  readonly unpackedNext: boolean;
  /** The file is an ACI that is only looked at: nothing is stored. */
  readonly examineOnly?: boolean;
  /** For an ACI's URL. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the worker gets the signature of an ACI; undefined: it need not. */
  readonly signature: { readonly url: string; readonly headers: Readonly<Record<string, string>> } | undefined;
  /** Where the worker looks for signatures of an OCI image, besides its source; undefined: it does not look at all. */
  readonly signaturePlaces?: SignaturePlaces | undefined;
}

/** A worker answers one request after the other, until its stdin ends. "prepare" comes with its start, and is no question. */
export type WorkerRequest =
  | { readonly task: "prepare" }
  | { readonly task: "discover"; readonly request: DiscoverRequest }
  | { readonly task: "fetch"; readonly request: FetchRequest };

export interface EndpointsMessage {
  readonly kind: "endpoints";
  readonly endpoints: readonly ImageEndpoint[];
}

/** A download on the pipe: bytes in base64. */
export type DownloadMessage =
  | { kind: "download"; download: Omit<OciDownload, "signatures"> & { signatures: string | undefined } }
  | {
      kind: "download";
      download: Omit<AciDownload, "signature" | "manifest"> & { signature: string | undefined; manifest: string };
    };

export function encodeDownload(download: Download): DownloadMessage {
  if (download.format === "oci") {
    const signatures = download.signatures && encodeSignatureSet(download.signatures);
    return { kind: "download", download: { ...download, signatures } };
  }
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const signature = download.signature === undefined ? undefined : base64(download.signature);
  return { kind: "download", download: { ...download, signature, manifest: base64(download.manifest) } };
}

export type Answer =
  | { kind: "event"; event: RktEvent }
  | { kind: "failure"; error: RktError }
  | { kind: "endpoints"; endpoints: readonly ImageEndpoint[] }
  | { kind: "download"; download: Download };

/** Decodes one message of the worker. Throws HOST_PROGRAM when it is none. */
export function decodeAnswer(message: unknown): Answer {
  return decodeCommonAnswer(message, "fetch", (kind, place) => {
    if (kind === "download") return { kind, download: decodeDownload(field(place, "download")) };
    if (kind === "endpoints") return { kind, endpoints: items(field(place, "endpoints")).map(decodeEndpoint) };
    return undefined;
  });
}

/** Events and failures, which every worker sends, and by `decodeOwn` what only this one does (undefined: not known). Throws HOST_PROGRAM. */
export function decodeCommonAnswer<T>(
  message: unknown,
  worker: string,
  decodeOwn: (kind: string, place: Place) => T | undefined,
): T | { kind: "event"; event: RktEvent } | { kind: "failure"; error: RktError } {
  const place: Place = { document: `the answer of the ${worker} worker`, path: "", value: message as JsonValue };
  try {
    const kind = text(field(place, "kind"));
    if (kind === "event") return { kind, event: decodeEvent(field(place, "event")) };
    if (kind === "failure") return { kind, error: decodeFailure(place) };
    const own = decodeOwn(kind, place);
    if (own === undefined) throw complaint(field(place, "kind"), "is not known");
    return own;
  } catch (cause) {
    throw new RktError("HOST_PROGRAM", `Cannot ${worker}: the ${worker} worker wrote nonsense`, { cause });
  }
}

function decodeEvent(place: Place): RktEvent {
  const kind = text(field(place, "kind"));
  // The worker's words reach the operator's terminal: without control characters, and not endless.
  const words = (name: string, limit: number) => printable(text(field(place, name)), limit);
  switch (kind) {
    case "warning":
      return { kind, text: words("text", 2000) };
    case "debug":
    case "notice":
      return { kind, source: words("source", 40), text: words("text", 2000) };
    case "progress":
      return {
        kind,
        label: words("label", 40),
        done: bytes(field(place, "done")),
        total: optionalBytes(field(place, "total")),
        ...(flag(field(place, "upload")) ? { upload: true } : {}),
      };
    default:
      throw complaint(field(place, "kind"), "is not known");
  }
}

function decodeFailure(place: Place): RktError {
  const code = text(field(place, "code"));
  if (!isErrorCode(code)) throw complaint(field(place, "code"), "is not known");
  const hint = optionalText(field(place, "hint"));
  return new RktError(
    code,
    printable(text(field(place, "message")), 2000),
    hint === undefined ? {} : { hint: printable(hint) },
  );
}

function isErrorCode(code: string): code is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(code);
}

/** URLs for the worker's next request: what it may do with them was decided before it ran. */
function decodeEndpoint(place: Place): ImageEndpoint {
  const url = (name: string) => {
    const value = text(field(place, name));
    if (!URL.canParse(value) || !/^https?:/.test(value)) throw complaint(field(place, name), "expected a URL");
    return value;
  };
  return { image: url("image"), signature: url("signature") };
}

function decodeDownload(place: Place): Download {
  const format = text(field(place, "format"));
  const common = {
    id: parseImageId(text(field(place, "id"))),
    name: text(field(place, "name")),
    labels: decodeLabels(field(place, "labels")),
    origin: printable(text(field(place, "origin")), 4096),
  };
  if (format === "aci") {
    const signature = field(place, "signature");
    return {
      ...common,
      format,
      archive: decodeBlob(field(place, "archive")),
      uncompressedSize: bytes(field(place, "uncompressedSize")),
      signature: isPresent(signature) ? base64(signature) : undefined,
      manifest: base64(field(place, "manifest")),
    };
  }
  if (format !== "oci") throw complaint(field(place, "format"), "is not known");
  const source = field(place, "source");
  const signatures = optionalText(field(place, "signatures"));
  return {
    ...common,
    format,
    manifest: decodeBlob(field(place, "manifest")),
    config: decodeBlob(field(place, "config")),
    layers: items(field(place, "layers")).map(decodeLayer),
    source: {
      registry: optionalText(field(source, "registry")),
      repository: optionalText(field(source, "repository")),
      reference: text(field(source, "reference")),
    },
    ...(signatures === undefined
      ? {}
      : { signatures: decodeSignatureSet(readDocument(signatures, "the image's signatures")) }),
  };
}

function decodeLabels(place: Place): Labels {
  return items(place).map((label) => ({ name: text(field(label, "name")), value: text(field(label, "value")) }));
}

function decodeLayer(place: Place): LayerRef {
  return { ...decodeBlob(place), diffId: decodeDigest(field(place, "diffId")) };
}

function decodeBlob(place: Place): BlobRef {
  return {
    digest: decodeDigest(field(place, "digest")),
    size: bytes(field(place, "size")),
    mediaType: printable(text(field(place, "mediaType")), 255),
  };
}

function decodeDigest(place: Place): Digest {
  return parseDigest(`${text(field(place, "algorithm"))}:${text(field(place, "hex"))}`);
}

function bytes(place: Place): number {
  const value = optionalBytes(place);
  if (value === undefined) throw complaint(place, "expected a number");
  return value;
}

function optionalBytes(place: Place): number | undefined {
  return optionalInteger(place, 0, Number.MAX_SAFE_INTEGER);
}

function base64(place: Place): Buffer {
  const encoded = text(place);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) throw complaint(place, "expected base64");
  return Buffer.from(encoded, "base64");
}
