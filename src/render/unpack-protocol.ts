/** What root and the unpacker say to each other. Root decodes strictly: whoever took over an unpacker would write these messages. */

import { type Digest, type ImageId, parseDigest, parseImageId } from "../core/digest.ts";
import { ERROR_CODES, type ErrorCode, internalError, RktError } from "../core/errors.ts";
import { isObject, type JsonObject } from "../core/json.ts";
import { printable } from "../core/text.ts";
import type { ExpectedBlob } from "./unpack/blob.ts";
import { type Device, MOST_DEVICES } from "./unpack/devices.ts";
import { LARGEST_MANIFEST, type PathFilter } from "./unpack/naming.ts";
import type { Unpacked } from "./unpack/unpack.ts";

/** First line, for the stage that builds the jail. All paths are absolute and free of symbolic links. */
export interface Jail {
  /** An empty directory to build the new root on. */
  readonly root: string;
  readonly blob: string;
  readonly target: string;
  /** Roots of the layers below, topmost first. */
  readonly lowers: readonly string[];
}

/** Second line, sent after the unpacker has said `ready`. */
export interface UnpackRequest {
  readonly format: "aci" | "oci";
  readonly blob: ExpectedBlob;
  /** ACI: the part of it that is wanted. */
  readonly filter?: PathFilter | undefined;
  /** How many layers lie below. */
  readonly lowers: number;
}

export const JAIL_BLOB = "/blob";
export const JAIL_TARGET = "/target";
export const JAIL_LOWERS = "/lower";

/** Third line, when there are layers below: they are filled, and may be looked at. Until then an unpacker works as far as it needs none of them. */
export const BELOW_FILLED = { kind: "below-filled" } as const;

/** Name of a file in a message: its bytes as base64. */
interface DeviceMessage extends Omit<Device, "paths"> {
  readonly paths: readonly string[];
}

export type UnpackAnswer = { readonly kind: "ready" } | { readonly kind: "unpacked"; readonly unpacked: Unpacked };

export function encodeRequest(request: UnpackRequest): unknown {
  const { digest, diffId, ...rest } = request.blob;
  const text = (value: Digest | undefined) => (value === undefined ? null : `${value.algorithm}:${value.hex}`);
  return { ...request, blob: { ...rest, digest: text(digest), diffId: text(diffId), imageId: rest.imageId ?? null } };
}

/** The unpacker's side; what root sends is trusted, so this checks no more than the compiler needs. */
export function decodeRequest(message: unknown): UnpackRequest {
  const { format, lowers, blob, filter } = fields(message, "request");
  const { digest, size, diffId, imageId } = fields(blob, "request.blob");
  const optional = <T>(value: unknown, parse: (text: string) => T) =>
    value === null ? undefined : parse(String(value));
  return {
    format: format === "aci" ? "aci" : "oci",
    filter: filter as PathFilter | undefined,
    lowers: Number(lowers),
    blob: {
      digest: parseDigest(String(digest)),
      size: Number(size),
      diffId: optional(diffId, parseDigest),
      imageId: optional<ImageId>(imageId, parseImageId),
    },
  };
}

export function decodeJail(message: unknown): Jail {
  const { root, blob, target, lowers } = fields(message, "jail");
  if (typeof root !== "string" || typeof blob !== "string" || typeof target !== "string" || !Array.isArray(lowers)) {
    throw internalError("the unpacker was told nonsense");
  }
  return { root, blob, target, lowers: lowers.map(String) };
}

export function encodeUnpacked(unpacked: Unpacked): unknown {
  const devices: DeviceMessage[] = unpacked.devices.map((device) => ({
    ...device,
    paths: device.paths.map((path) => Buffer.from(path, "latin1").toString("base64")),
  }));
  return {
    kind: "unpacked",
    unpacked: { ...unpacked, devices, manifest: unpacked.manifest?.toString("base64") ?? null },
  };
}

/** Root's side. Throws the unpacker's own failure, with the code it gave, or HOST_PROGRAM on nonsense. */
export function decodeAnswer(message: unknown): UnpackAnswer {
  const answer = fields(message, "answer");
  if (answer.kind === "ready") return { kind: "ready" };
  if (answer.kind === "failure") throw decodeFailure(answer);
  if (answer.kind !== "unpacked") throw nonsense("kind");
  const { devices, manifest, entries, size, digest } = fields(answer.unpacked, "unpacked");
  if (!Array.isArray(devices) || devices.length > MOST_DEVICES) throw nonsense("devices");
  return {
    kind: "unpacked",
    unpacked: {
      devices: devices.map(decodeDevice),
      manifest: manifest === null ? undefined : decodeBytes(manifest, LARGEST_MANIFEST, "manifest"),
      entries: count(entries, "entries"),
      size: count(size, "size"),
      digest: decodeTreeDigest(digest),
    },
  };
}

function decodeTreeDigest(value: unknown): string {
  if (typeof value !== "string" || !/^sha256:[0-9a-f]{64}$/.test(value)) throw nonsense("digest");
  return value;
}

function decodeFailure(answer: JsonObject): RktError {
  const { code, message, hint } = answer;
  const known = ERROR_CODES.find((candidate): candidate is ErrorCode => candidate === code);
  if (known === undefined || typeof message !== "string") return nonsense("failure");
  return new RktError(known, printable(message, 2000), typeof hint === "string" ? { hint: printable(hint) } : {});
}

function decodeDevice(message: unknown, index: number): Device {
  const where = `devices[${index}]`;
  const { paths, type, major, minor, attributes } = fields(message, where);
  const { mode, uid, gid, mtime } = fields(attributes, `${where}.attributes`);
  const { seconds, nanoseconds } = fields(mtime, `${where}.mtime`);
  if (!Array.isArray(paths) || paths.length === 0 || paths.length > 1000) throw nonsense(`${where}.paths`);
  if (type !== "char" && type !== "block") throw nonsense(`${where}.type`);
  if (!Number.isSafeInteger(seconds)) throw nonsense(`${where}.seconds`);
  return {
    paths: paths.map((path) => decodePath(path, where)),
    type,
    major: count(major, `${where}.major`, 0xfff),
    minor: count(minor, `${where}.minor`, 0xfffff),
    attributes: {
      mode: count(mode, `${where}.mode`, 0o7777),
      uid: count(uid, `${where}.uid`, 0xfffffffe),
      gid: count(gid, `${where}.gid`, 0xfffffffe),
      mtime: { seconds: Number(seconds), nanoseconds: count(nanoseconds, `${where}.nanoseconds`, 999_999_999) },
    },
  };
}

/** A relative path of ordinary components. The kernel is told not to leave the layer, too (RESOLVE_BENEATH). */
function decodePath(value: unknown, where: string): string {
  const path = decodeBytes(value, 4096, where).toString("latin1");
  const odd = (component: string) => component === "" || component === "." || component === "..";
  if (path.includes("\0") || path.split("/").some(odd)) throw nonsense(`${where}.paths`);
  return path;
}

function decodeBytes(value: unknown, limit: number, where: string): Buffer {
  if (typeof value !== "string" || value.length > Math.ceil(limit / 3) * 4) throw nonsense(where);
  return Buffer.from(value, "base64");
}

function count(value: unknown, where: string, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > most) throw nonsense(where);
  return value;
}

function fields(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw nonsense(where);
  return value;
}

function nonsense(where: string): RktError {
  return new RktError("HOST_PROGRAM", `Cannot read the answer of the unpack worker: ${printable(where)} is malformed`);
}
