/**
 * Sigstore bundles and what cosign made before them, checked without network: by a bare key, or by a certificate of an identity against a pinned trusted root
 * (sigstore/protobuf-specs; the client specification of sigstore/architecture-docs). Certificates, logs and timestamps are the library's work; which signer and which image
 * count is decided here. Runs in the verify worker only.
 */

import { type Bundle, bundleFromJSON } from "@sigstore/bundle";
import type { X509Certificate } from "@sigstore/core";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { type SignedEntity, type Signer, toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";
import { verifyCertificateChain } from "@sigstore/verify/dist/key/certificate.js";
import { RktError } from "../../core/errors.ts";
import type { SignatureDocument } from "../../core/spine.ts";
import { pemContents } from "./pem.ts";
import { SignatureRefused } from "./problem.ts";
import { isSignedBy, publicKey } from "./public-key.ts";
import { requireSimpleSigning, requireStatement, type Subjects } from "./statement.ts";
import { trustedRootDocuments } from "./trusted-root-text.ts";
import type { SignerSpec } from "./verify-messages.ts";

type Identity = Extract<SignerSpec, { kind: "identity" }>;
type Key = Extract<SignerSpec, { kind: "key" }>;

/** What a good signature tells: who made it, and the image's name if it has one. */
export interface Checked {
  readonly signer: string;
  readonly name: string | undefined;
}

/** A signature in one form, whatever it came as. */
export interface SigstoreSignature {
  readonly bundle: Bundle;
  /** What a cosign payload signs is beside the bundle; an envelope holds its own. */
  readonly payload: Uint8Array | undefined;
}

/** Reads a bundle, or makes one of a cosign layer. Throws SignatureRefused. */
export function readSignature(document: Exclude<SignatureDocument, { kind: "simple" }>): SigstoreSignature {
  try {
    if (document.kind === "cosign")
      return { bundle: bundleFromJSON(bundleOfLayer(document)), payload: document.content };
    return { bundle: bundleFromJSON(JSON.parse(Buffer.from(document.content).toString("utf8"))), payload: undefined };
  } catch (error) {
    throw new SignatureRefused("malformed", `it cannot be read: ${words(error)}`);
  }
}

/** Whether `key` made the signature, and of which image. Throws SignatureRefused. */
export function checkByKey(signature: SigstoreSignature, spec: Key, subjects: Subjects): Checked {
  const { bundle, payload } = signature;
  const der = Buffer.from(spec.der, "base64");
  const { signed, bytes } = signedContent(signature);
  const isByKey = isSignedBy(publicKey(der), signed, bytes);
  // A certificate takes nothing from a signature by a key that is trusted; an entry in a log would be of the certificate.
  if (bundle.verificationMaterial.content.$case !== "publicKey" && !(isByKey && spec.trustedRoot === undefined)) {
    throw new SignatureRefused("stranger", "it was made with a certificate, and only keys are trusted");
  }
  if (!isByKey) throw new SignatureRefused("stranger", "it was made by none of the trusted keys");
  if (spec.trustedRoot !== undefined) {
    verifyByLibrary(bundle, payload, spec.trustedRoot, { key: der, log: "required" });
  }
  return { signer: new Bun.CryptoHasher("sha256").update(der).digest("hex"), name: requireImage(signature, subjects) };
}

/** Whether the certified identity made the signature, and of which image. Throws SignatureRefused. */
export function checkByIdentity(signature: SigstoreSignature, spec: Identity, subjects: Subjects): Checked {
  const { bundle, payload } = signature;
  if (bundle.verificationMaterial.content.$case === "publicKey") {
    throw new SignatureRefused("stranger", "it was made with a bare key, and only identities are trusted");
  }
  const signer = verifyByLibrary(bundle, payload, spec.trustedRoot, { log: "if the root has one" });
  const identity = signer.identity?.subjectAlternativeName ?? "";
  const issuer = signer.identity?.extensions?.issuer ?? "";
  if (!isForCodeSigning(signer.identity?.oids ?? [])) {
    throw new SignatureRefused("invalid", "its certificate is not for signing code");
  }
  if (issuer !== spec.issuer) {
    throw new SignatureRefused("stranger", `it was made by "${identity}", for whom "${issuer}" vouches`);
  }
  if (!isIdentity(identity, spec)) throw new SignatureRefused("stranger", `it was made by "${identity}" (${issuer})`);
  return { signer: identity, name: requireImage(signature, subjects) };
}

/** A regular expression must match the whole: "@example.com" alone would also be found in "x@example.com.evil.org". */
function isIdentity(identity: string, spec: Identity): boolean {
  if (identity === "") return false;
  if (spec.identity !== undefined) return identity === spec.identity;
  return spec.identityRegexp !== undefined && new RegExp(`^(?:${spec.identityRegexp})$`, "u").test(identity);
}

/** The image's name, if the signature has one. Asked last: only a true signature's words are worth reporting. */
export function requireImage({ bundle, payload }: SigstoreSignature, subjects: Subjects): string | undefined {
  if (payload !== undefined) return requireSimpleSigning(payload, "cosign", subjects);
  if (bundle.content.$case !== "dsseEnvelope") throw unsupportedContent();
  const { payloadType, payload: statement } = bundle.content.dsseEnvelope;
  requireStatement(payloadType, statement, subjects);
  return undefined;
}

/** The very bytes that were signed, and the signature over them. */
export function signedContent({ bundle, payload }: SigstoreSignature): { signed: Uint8Array; bytes: Uint8Array } {
  const { content } = bundle;
  if (content.$case === "dsseEnvelope") {
    const { payloadType, payload: statement, signatures } = content.dsseEnvelope;
    // DSSE protocol.md, "PAE".
    const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${statement.length} `;
    const [first] = signatures;
    if (first === undefined || signatures.length !== 1) {
      throw new SignatureRefused("unsupported", "its envelope has several signatures");
    }
    return { signed: Buffer.concat([Buffer.from(head), statement]), bytes: first.sig };
  }
  if (payload === undefined) throw unsupportedContent();
  return { signed: payload, bytes: content.messageSignature.signature };
}

/** A signature over a file says nothing about what kind of file it is. */
function unsupportedContent(): SignatureRefused {
  return new SignatureRefused("unsupported", "it signs a file, expected a statement about an image");
}

interface Demands {
  /** A bare key instead of a certificate. */
  readonly key?: Buffer;
  readonly log: "required" | "if the root has one";
}

/** Under one root as a whole: an authority of one Sigstore and a log of another prove nothing together. Throws the first root's refusal when none accepts. */
function verifyByLibrary(bundle: Bundle, payload: Uint8Array | undefined, rootText: string, demands: Demands) {
  let refusal: unknown;
  for (const root of trustedRoots(rootText)) {
    try {
      return verifyUnder(root, bundle, payload, demands);
    } catch (error) {
      if (!(error instanceof SignatureRefused)) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** Certificate chain, SCT, log entry and timestamps, and the signature itself. What the root has no authority for (a private Sigstore without a log) is not asked for. */
function verifyUnder(root: TrustedRoot, bundle: Bundle, payload: Uint8Array | undefined, { key, log }: Demands) {
  try {
    const entity = toSignedEntity(bundle, payload === undefined ? undefined : Buffer.from(payload));
    const certificate = entity.key.$case === "certificate" ? entity.key.certificate : undefined;
    const isUnlogged = certificate !== undefined && root.ctlogs.length === 0;
    const signingKey = key ?? (isUnlogged ? certificate.publicKey : undefined);
    const material = toTrustMaterial(root, () => {
      if (signingKey === undefined) throw new SignatureRefused("stranger", "it was made with a bare key");
      return { publicKey: publicKey(signingKey).key, validFor: () => true };
    });
    const verifier = new Verifier(material, {
      ctlogThreshold: root.ctlogs.length > 0 ? 1 : 0,
      tlogThreshold: log === "required" || root.tlogs.length > 0 ? 1 : 0,
      timestampThreshold: key === undefined ? 1 : 0,
    });
    if (!isUnlogged) return verifier.verify(entity);
    // The library refuses a certificate whose timestamps are of a log that the root does not know, even where it knows none: the key is given to it bare, and the chain
    // checked for each of the times that it has just found to be true.
    verifier.verify({ ...entity, key: { $case: "public-key", hint: "" } });
    const times = timesOf(entity);
    if (times.length === 0) throw new SignatureRefused("log", "it does not hold: no authority confirms its time");
    for (const time of times) verifyCertificateChain(time, certificate, material.certificateAuthorities);
    return signerOf(certificate);
  } catch (error) {
    if (error instanceof SignatureRefused) throw error;
    throw new SignatureRefused(isAboutLog(error) ? "log" : "invalid", `it does not hold: ${words(error)}`);
  }
}

function timesOf({ timestamps }: SignedEntity): Date[] {
  return timestamps.flatMap((stamp) => {
    if (stamp.$case === "timestamp-authority") return [stamp.timestamp.signingTime];
    // Without a promise the log has not signed the time.
    return stamp.tlogEntry.inclusionPromise === undefined
      ? []
      : [new Date(Number(stamp.tlogEntry.integratedTime) * 1000)];
  });
}

/** Fulcio, oid-info.md: 1.3.6.1.4.1.57264.1.8 is a DER string, its predecessor .1.1 was raw. */
function signerOf(certificate: X509Certificate): Pick<Signer, "identity"> {
  const current = certificate.extension("1.3.6.1.4.1.57264.1.8")?.valueObj.subs[0]?.value;
  const issuer = (current ?? certificate.extension("1.3.6.1.4.1.57264.1.1")?.value)?.toString("ascii");
  const oids = certificate.extensions.map((extension) => ({
    oid: { id: (extension.subs[0]?.toOID() ?? "").split(".").map(Number) },
    value: extension.subs.at(-1)?.value ?? Buffer.alloc(0),
  }));
  const { subjectAltName } = certificate;
  return {
    identity: {
      ...(subjectAltName === undefined ? {} : { subjectAlternativeName: subjectAltName }),
      extensions: issuer === undefined ? {} : { issuer },
      oids,
    },
  };
}

function isAboutLog(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("TLOG") || code === "TIMESTAMP_ERROR";
}

/** At least one. Throws INVALID_INPUT: the operator's file, so not a problem of the signature. */
export function trustedRoots(text: string): TrustedRoot[] {
  try {
    return trustedRootDocuments(text).map((document) => {
      const root = TrustedRoot.fromJSON(document);
      if (root.certificateAuthorities.length + root.tlogs.length === 0) throw new Error("it names no authority");
      toTrustMaterial(root);
      return root;
    });
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "Cannot read the trusted root: expected Sigstore's trusted_root.json", {
      cause,
    });
  }
}

/** RFC 5280, 4.2.1.12: the extended key usage must have id-kp-codeSigning (1.3.6.1.5.5.7.3.3). */
function isForCodeSigning(extensions: readonly { oid?: { id: number[] } | undefined; value: Buffer }[]): boolean {
  const usage = extensions.find(({ oid }) => oid?.id.join(".") === "2.5.29.37");
  return usage?.value.includes(Buffer.from("06082b06010505070303", "hex")) === true;
}

/** cosign's annotations as a bundle of version 0.1, which had the same parts. */
function bundleOfLayer(layer: Extract<SignatureDocument, { kind: "cosign" }>): unknown {
  const certificates = pemContents(layer.certificate ?? "", "CERTIFICATE").slice(0, 1);
  const chain = pemContents(layer.chain ?? "", "CERTIFICATE");
  const digest = new Bun.CryptoHasher("sha256").update(layer.content).digest("base64");
  return {
    mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    verificationMaterial: {
      ...(certificates.length === 0
        ? { publicKey: { hint: "" } }
        : { x509CertificateChain: { certificates: [...certificates, ...chain].map(rawBytes) } }),
      tlogEntries: layer.logEntry === undefined ? [] : [logEntryOf(layer.logEntry)],
      timestampVerificationData: { rfc3161Timestamps: timestampsOf(layer.timestamp) },
    },
    messageSignature: { messageDigest: { algorithm: "SHA2_256", digest }, signature: layer.signature },
  };
}

function rawBytes(der: Buffer): { rawBytes: string } {
  return { rawBytes: der.toString("base64") };
}

/** cosign, "BUNDLE_SPEC": {"SignedEntryTimestamp": …, "Payload": {"body", "integratedTime", "logIndex", "logID"}}. */
function logEntryOf(json: string): unknown {
  const entry = JSON.parse(json);
  const { body, integratedTime, logIndex, logID } = entry.Payload;
  const { kind, apiVersion } = JSON.parse(Buffer.from(body, "base64").toString("utf8"));
  return {
    logIndex: String(logIndex),
    logId: { keyId: Buffer.from(logID, "hex").toString("base64") },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(integratedTime),
    inclusionPromise: { signedEntryTimestamp: entry.SignedEntryTimestamp },
    canonicalizedBody: body,
  };
}

function timestampsOf(json: string | undefined): unknown[] {
  if (json === undefined) return [];
  return [{ signedTimestamp: JSON.parse(json).SignedRFC3161Timestamp }];
}

export function words(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error instanceof Error ? error.message : String(error)}${cause}`.slice(0, 300);
}
