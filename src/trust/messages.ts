/** What crosses the verify worker's pipes. Requests come from the caller (root); answers are untrusted and decoded strictly. */

import type { ProxySettings } from "../config/proxy.ts";
import type { Certificates } from "../config/transport.ts";
import { ERROR_CODES, internalError, RktError } from "../core/errors.ts";
import type { GoodSignature, SignatureProblem } from "./gpgv-status.ts";
import type { InspectRequest, VerifyOciRequest } from "./oci/verify-messages.ts";

/** `keyring` and `signature`: base64 of binary OpenPGP. The archive is descriptor 3. */
export interface VerifyRequest {
  readonly kind: "verify";
  readonly keyring: string;
  readonly signature: string;
}

/** A public key, or the page that says where it is. */
export interface DownloadRequest {
  readonly kind: "download";
  readonly url: string;
  readonly allowHttp: boolean;
  readonly skipTlsCheck: boolean;
  readonly certificates: Certificates;
  readonly proxies: ProxySettings;
  readonly limit: number;
}

/** Asks for nothing: what checks the signatures of OCI images is loaded. Another request follows. */
export interface PrepareRequest {
  readonly kind: "prepare-oci";
}

export type WorkerRequest = VerifyRequest | DownloadRequest | VerifyOciRequest | InspectRequest | PrepareRequest;

export interface VerifyAnswer {
  readonly kind: "verdict";
  readonly sha512: string;
  readonly good: readonly GoodSignature[];
  readonly problems: readonly SignatureProblem[];
}

export interface DownloadAnswer {
  readonly kind: "content";
  /** base64. */
  readonly content: string;
}

/** Throws HOST_PROGRAM when it is no verdict, and what the worker reported when it failed. */
export function decodeVerdict(message: unknown): VerifyAnswer {
  const { kind, sha512, good, problems } = fieldsOf(message);
  if (kind !== "verdict" || typeof sha512 !== "string" || !Array.isArray(good) || !Array.isArray(problems))
    throw nonsense();
  return { kind, sha512, good: good.map(decodeGood), problems: problems.map(decodeProblem) };
}

export function decodeContent(message: unknown): Buffer {
  const { kind, content } = fieldsOf(message);
  if (kind !== "content" || typeof content !== "string") throw nonsense();
  return Buffer.from(content, "base64");
}

function decodeGood(value: unknown): GoodSignature {
  const { fingerprint, userId } = fieldsOf(value);
  if (typeof fingerprint !== "string" || !/^[0-9a-f]{40}$/.test(fingerprint) || typeof userId !== "string")
    throw nonsense();
  return { fingerprint, userId };
}

const PROBLEMS: readonly SignatureProblem[] = [
  "unknown-key",
  "unsupported",
  "bad",
  "expired",
  "expired-key",
  "revoked-key",
  "weak-digest",
  "text",
];

function decodeProblem(value: unknown): SignatureProblem {
  const problem = PROBLEMS.find((known) => known === value);
  if (problem === undefined) throw nonsense();
  return problem;
}

function fieldsOf(message: unknown): Record<string, unknown> {
  const failure = failureOf(message);
  if (failure !== undefined) throw failure;
  return message as Record<string, unknown>;
}

/** What the worker reported when it could not do its work. Throws HOST_PROGRAM when the message is no object at all. */
export function failureOf(message: unknown): RktError | undefined {
  if (typeof message !== "object" || message === null) throw nonsense();
  const fields = message as Record<string, unknown>;
  if (fields.kind !== "failure") return undefined;
  const code = ERROR_CODES.find((known) => known === fields.code);
  if (code === undefined || typeof fields.message !== "string") throw nonsense();
  return code === "INTERNAL"
    ? internalError(fields.message)
    : new RktError(code, fields.message, typeof fields.hint === "string" ? { hint: fields.hint } : {});
}

export function nonsense(): RktError {
  return new RktError("HOST_PROGRAM", "Cannot read the answer of the verify worker: it is not of the agreed form");
}
