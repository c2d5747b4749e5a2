/** What the caller and the verify worker say to each other about an OCI image. The worker believes its caller; its answer is decoded strictly. */

import type { SignatureSet } from "../../core/spine.ts";
import { printable } from "../../core/text.ts";
import { field, items, optionalInteger, type Place, text } from "../../spec/document.ts";
import type { JsonValue } from "../../spec/json-value.ts";
import { failureOf, nonsense } from "../messages.ts";
import type { NameRule } from "./name-rule.ts";

/** One signer that would be believed, and for which name. */
export interface TrustEntry {
  readonly signer: SignerSpec;
  readonly names: NameRule;
}

export type SignerSpec =
  /** `keyring`: base64 of binary OpenPGP; only signatures of `fingerprints` count. */
  | { readonly kind: "openpgp"; readonly keyring: string; readonly fingerprints: readonly string[] }
  /** `der`: base64 of a SubjectPublicKeyInfo. With `trustedRoot` the signature must also stand in one of its logs. */
  | { readonly kind: "key"; readonly der: string; readonly trustedRoot?: string }
  /** `trustedRoot`: {@link trustedRootDocuments}. Of identity and identityRegexp one is there. */
  | {
      readonly kind: "identity";
      readonly issuer: string;
      readonly identity?: string;
      readonly identityRegexp?: string;
      readonly trustedRoot: string;
    }
  /** Certificates of authorities of one's own: base64 of DER. Of email and hostname one is there, or both must be the certificate's. `authority`: the roots' names, for people. */
  | {
      readonly kind: "pki";
      readonly roots: readonly string[];
      readonly intermediates: readonly string[];
      readonly email?: string;
      readonly hostname?: string;
      readonly authority: string;
    };

export interface VerifyOciRequest {
  readonly kind: "verify-oci";
  /** Of the image's manifest: "sha256:…". */
  readonly digest: string;
  /** {@link encodeSignatureSet}. */
  readonly signatures: string;
  readonly trust: readonly TrustEntry[];
}

/** A signature that counts: by entry number `entry` of the request's `trust`. */
export interface AcceptedSignature {
  readonly entry: number;
  /** Fingerprint of the key, or the identity in the certificate. */
  readonly signer: string;
}

export interface VerifyOciAnswer {
  readonly kind: "oci-verdict";
  readonly accepted: readonly AcceptedSignature[];
  /** Why the others do not, the gravest first. */
  readonly problems: readonly string[];
}

/** A key or trusted root to be looked at before it is trusted: its text. */
export interface InspectRequest {
  readonly kind: "inspect";
  readonly what: "key" | "trusted-root";
  readonly content: string;
}

/** `der`: base64 (key), "" (trusted root). */
export interface InspectAnswer {
  readonly kind: "inspected";
  readonly description: string;
  readonly der: string;
}

const MOST_PROBLEMS = 64;

/** Throws HOST_PROGRAM when it is no verdict, and what the worker reported when it failed. */
export function decodeOciVerdict(message: unknown, request: VerifyOciRequest): VerifyOciAnswer {
  const place = answerPlace(message, "oci-verdict");
  try {
    const accepted = items(field(place, "accepted")).map((one) => {
      const entry = optionalInteger(field(one, "entry"), 0, request.trust.length - 1);
      if (entry === undefined) throw nonsense();
      return { entry, signer: printable(text(field(one, "signer")), 512) };
    });
    const problems = items(field(place, "problems"))
      .slice(0, MOST_PROBLEMS)
      .map((one) => printable(text(one), 600));
    return { kind: "oci-verdict", accepted, problems };
  } catch {
    throw nonsense();
  }
}

export function decodeInspected(message: unknown): InspectAnswer {
  const place = answerPlace(message, "inspected");
  try {
    const der = text(field(place, "der"));
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(der)) throw nonsense();
    return { kind: "inspected", description: printable(text(field(place, "description")), 200), der };
  } catch {
    throw nonsense();
  }
}

function answerPlace(message: unknown, kind: string): Place {
  const failure = failureOf(message);
  if (failure !== undefined) throw failure;
  const place: Place = { document: "the answer of the verify worker", path: "", value: message as JsonValue };
  if (text(field(place, "kind")) !== kind) throw nonsense();
  return place;
}

export type { SignatureSet };
