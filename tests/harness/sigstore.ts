/**
 * A Sigstore of a test's own: a certificate authority like Fulcio, a certificate log and a transparency log like Rekor, with keys that live as long as the test, and the
 * trusted root that pins them. Every signature is a real one; nothing is downloaded.
 */

import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SignatureDocument } from "../../src/core/spine.ts";
import { bits, boolean, context, type Der, integer, octets, oid, sequence, set, time, tlv, utf8 } from "./der.ts";
import { runProgram } from "./temporary.ts";

export interface Identity {
  /** An e-mail address, or the URL of a workflow. */
  readonly identity: string;
  readonly issuer: string;
}

export interface CertificateOptions extends Identity {
  readonly key: KeyObject;
  /** Default: now, for ten minutes, as Fulcio does it. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** False: no signed certificate timestamp. */
  readonly sct?: boolean;
  /** Default: code signing. */
  readonly usage?: string;
}

export interface LogOptions {
  readonly time?: Date;
  /** 2: as Rekor 2 gives entries: with a proof and a checkpoint, and no word about the time. Default: 1. */
  readonly generation?: 1 | 2;
  /** Changes what is written into the entry after it was signed. */
  readonly tamper?: "proof" | "promise" | "checkpoint" | "body" | "other-log";
}

export interface BundleOptions extends LogOptions {
  /** By default an identity's certificate is made for `signer`. */
  readonly certificate?: Der;
  /** Default: cosign's own. */
  readonly predicateType?: string;
  readonly payloadType?: string;
  /** False: no log entry, and so no time. */
  readonly log?: boolean;
  /** Another proof of the time: an answer of a timestamp authority (RFC 3161) over the signature. */
  readonly timestamp?: TestTimestamps;
}

export interface CosignLayer {
  readonly payload: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface TestSigstore {
  /** trusted_root.json. */
  readonly trustedRoot: string;
  /** Of the authority: the chain, in PEM form, leaf's issuer first. */
  readonly authorityPem: string;
  /** Of the transparency log. */
  readonly logPem: string;
  certificate(options: CertificateOptions): Der;
  /** A bundle v0.3 as cosign 3 writes it: an envelope over a statement about `digest` ("sha256:…"). */
  bundle(digest: string, signer: Identity | KeyObject, options?: BundleOptions): Record<string, unknown>;
  /** A layer of a `.sig` manifest as cosign 2 writes it. */
  cosignLayer(digest: string, reference: string, signer: Identity | KeyObject, options?: BundleOptions): CosignLayer;
}

const SECONDS = 1000;
const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
export const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";

/** A timestamp authority: openssl's. */
export interface TestTimestamps {
  /** Its entry in a trusted root. */
  readonly authority: object;
  /** The answer for `data`, DER. */
  stamp(data: Uint8Array): Buffer;
}

/** Its files lie in `dir`. */
export function makeTimestamps(dir: string): TestTimestamps {
  const root = authority("test timestamps", undefined);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const from = new Date(Date.now() - 3600 * SECONDS);
  const until = new Date(Date.now() + 3600 * SECONDS);
  const extensions = [
    extension("2.5.29.15", tlv(0x03, Buffer.from([7, 0x80])), true),
    extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.8")), true),
    extension("2.5.29.35", sequence(tlv(0x80, root.keyId))),
  ];
  const tbs = certificateBody(root.name, nameOf("test timestamp signer"), spki(publicKey), from, until, extensions);
  const leaf = signedBy(tbs, root.key);
  const file = (name: string, content: string) => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const config = [
    ...["[tsa]", `serial=${file("tsa.serial", "01")}`, `signer_cert=${file("tsa.pem", pem(leaf, "CERTIFICATE"))}`],
    `signer_key=${file("tsa.key", privateKey.export({ type: "pkcs8", format: "pem" }).toString())}`,
    ...[
      "default_policy=1.2.3.4",
      "signer_digest=sha256",
      "digests=sha256",
      "ess_cert_id_alg=sha256",
      "accuracy=secs:1",
    ],
  ];
  const configFile = file("tsa.conf", `${config.join("\n")}\n`);
  return {
    authority: {
      subject: { organization: "test", commonName: "test" },
      uri: "https://tsa.test",
      certChain: { certificates: [leaf, root.der].map((der) => ({ rawBytes: der.toString("base64") })) },
      validFor: { start: from.toISOString() },
    },
    stamp(data) {
      const [content, query, reply] = ["data", "query", "reply"].map((name) => join(dir, `tsa.${name}`));
      writeFileSync(content ?? "", data);
      runProgram(["openssl", "ts", "-query", "-data", content ?? "", "-sha256", "-out", query ?? ""]);
      const answer = ["-config", configFile, "-section", "tsa", "-queryfile", query ?? "", "-out", reply ?? ""];
      runProgram(["openssl", "ts", "-reply", ...answer]);
      return readFileSync(reply ?? "");
    },
  };
}

export function makeSigstore(): TestSigstore {
  const root = authority("test root", undefined);
  const issuing = authority("test intermediate", root);
  const ctLog = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const log = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const started = new Date(Date.now() - 3600 * SECONDS);

  const sigstore: TestSigstore = {
    trustedRoot: JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [logAuthority("https://log.test", log.publicKey, started)],
      certificateAuthorities: [
        {
          subject: { organization: "test", commonName: "test" },
          uri: "https://ca.test",
          certChain: { certificates: [issuing, root].map(({ der }) => ({ rawBytes: der.toString("base64") })) },
          validFor: { start: started.toISOString() },
        },
      ],
      ctlogs: [logAuthority("https://ct.test", ctLog.publicKey, started)],
      timestampAuthorities: [],
    }),
    authorityPem: [issuing, root].map(({ der }) => pem(der, "CERTIFICATE")).join(""),
    logPem: log.publicKey.export({ type: "spki", format: "pem" }).toString(),
    certificate(options) {
      // One time for both bodies: a second that ends between them would make the timestamp another certificate's.
      const timed = { ...options, notBefore: options.notBefore ?? new Date(Date.now() - 5 * SECONDS) };
      const tbs = (sct: Der | undefined) => leafCertificate(timed, issuing, sct);
      // The signed timestamp covers the certificate without it (RFC 6962, 3.2).
      const sct = options.sct === false ? undefined : timestampList(tbs(undefined), issuing, ctLog);
      return signedBy(tbs(sct), issuing.key);
    },
    bundle(digest, signer, options = {}) {
      const { key, material, certificate } = materialOf(sigstore, signer, options);
      const payload = Buffer.from(JSON.stringify(statement(digest, options.predicateType)));
      const payloadType = options.payloadType ?? "application/vnd.in-toto+json";
      const head = `DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `;
      const signature = rawSign(Buffer.concat([Buffer.from(head), payload]), key);
      const body =
        options.generation === 2
          ? dsseBody2(payload, signature, certificate ?? Buffer.alloc(0))
          : dsseBody(payload, signature, certificate ?? publicPem(key));
      const entry = () => logEntry(log, body, { kind: "dsse", ...options });
      return {
        mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
        verificationMaterial: {
          ...material,
          tlogEntries: options.log === false ? [] : [entry()],
          ...(options.timestamp && {
            timestampVerificationData: {
              rfc3161Timestamps: [{ signedTimestamp: options.timestamp.stamp(signature).toString("base64") }],
            },
          }),
        },
        dsseEnvelope: {
          payload: payload.toString("base64"),
          payloadType,
          signatures: [{ sig: signature.toString("base64") }],
        },
      };
    },
    cosignLayer(digest, reference, signer, options = {}) {
      const { key, certificate } = materialOf(sigstore, signer, options);
      const payload = Buffer.from(JSON.stringify(cosignPayload(digest, reference)));
      const signature = rawSign(payload, key);
      const annotations: Record<string, string> = {
        "dev.cosignproject.cosign/signature": signature.toString("base64"),
      };
      if (certificate !== undefined) annotations["dev.sigstore.cosign/certificate"] = pem(certificate, "CERTIFICATE");
      if (options.log !== false) {
        const body = hashedRekordBody(payload, signature, certificate ?? publicPem(key));
        const entry = logEntry(log, body, { kind: "hashedrekord", ...options });
        annotations["dev.sigstore.cosign/bundle"] = JSON.stringify({
          SignedEntryTimestamp: entry.inclusionPromise?.signedEntryTimestamp,
          Payload: {
            body: entry.canonicalizedBody,
            integratedTime: Number(entry.integratedTime),
            logIndex: Number(entry.logIndex),
            logID: Buffer.from(entry.logId.keyId, "base64").toString("hex"),
          },
        });
      }
      return { payload, annotations };
    },
  };
  return sigstore;
}

/** A layer as rkt's fetch worker hands it on. */
export function cosignDocument({ payload, annotations }: CosignLayer): SignatureDocument {
  return {
    kind: "cosign",
    content: payload,
    signature: annotations["dev.cosignproject.cosign/signature"] ?? "",
    certificate: annotations["dev.sigstore.cosign/certificate"],
    chain: annotations["dev.sigstore.cosign/chain"],
    logEntry: annotations["dev.sigstore.cosign/bundle"],
    timestamp: annotations["dev.sigstore.cosign/rfc3161timestamp"],
  };
}

/** What cosign signs: containers-signature(5) with a type of its own. */
export function cosignPayload(digest: string, reference: string): object {
  return {
    critical: {
      identity: { "docker-reference": reference },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  };
}

export function pem(der: Uint8Array, type: string): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .replace(/(.{64})(?=.)/g, "$1\n");
  return `-----BEGIN ${type}-----\n${lines}\n-----END ${type}-----\n`;
}

/** The public half of a private key, in PEM form. */
export function publicPem(key: KeyObject): string {
  return pem(spki(key), "PUBLIC KEY");
}

/** A signature as cosign makes them for a key of this kind. */
export function rawSign(data: Uint8Array, key: KeyObject): Buffer {
  const digest =
    key.asymmetricKeyType === "ed25519"
      ? null
      : key.asymmetricKeyDetails?.namedCurve === "secp384r1"
        ? "sha384"
        : "sha256";
  return sign(digest, data, key);
}

interface Material {
  readonly key: KeyObject;
  readonly certificate: Der | undefined;
  readonly material: Record<string, unknown>;
}

function materialOf(sigstore: TestSigstore, signer: Identity | KeyObject, options: BundleOptions): Material {
  if (!("identity" in signer)) {
    const hint = createHash("sha256").update(spki(signer)).digest("base64");
    return { key: signer, certificate: undefined, material: { publicKey: { hint } } };
  }
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = options.certificate ?? sigstore.certificate({ ...signer, key: publicKey });
  return {
    key: keyOf.get(certificate) ?? privateKey,
    certificate,
    material: { certificate: { rawBytes: certificate.toString("base64") } },
  };
}

/** The private keys of certificates that a test made itself. */
const keyOf = new Map<Der, KeyObject>();

/** A certificate with a key of its own, for {@link BundleOptions.certificate}. */
export function certificateWithKey(sigstore: TestSigstore, options: Omit<CertificateOptions, "key">): Der {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = sigstore.certificate({ ...options, key: publicKey });
  keyOf.set(certificate, privateKey);
  return certificate;
}

function statement(digest: string, predicateType = "https://sigstore.dev/cosign/sign/v1"): object {
  const [algorithm = "", hex = ""] = digest.split(":");
  return {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ digest: { [algorithm]: hex } }],
    predicateType,
    predicate: {},
  };
}

// --- certificates ---

interface Authority {
  readonly der: Der;
  readonly name: Der;
  readonly key: KeyObject;
  readonly publicKey: Der;
  readonly keyId: Buffer;
}

function authority(commonName: string, issuer: Authority | undefined): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const encoded = spki(publicKey);
  const name = nameOf(commonName);
  const keyId = createHash("sha1").update(encoded).digest();
  const from = new Date(Date.now() - 24 * 3600 * SECONDS);
  const until = new Date(Date.now() + 24 * 3600 * SECONDS);
  const extensions = [
    extension("2.5.29.19", sequence(boolean(true)), true),
    extension("2.5.29.15", tlv(0x03, Buffer.from([1, 0x06])), true),
    extension("2.5.29.14", octets(keyId)),
    ...(issuer === undefined ? [] : [extension("2.5.29.35", sequence(tlv(0x80, issuer.keyId)))]),
  ];
  const tbs = certificateBody(issuer?.name ?? name, name, encoded, from, until, extensions);
  return { der: signedBy(tbs, issuer?.key ?? privateKey), name, key: privateKey, publicKey: encoded, keyId };
}

function leafCertificate(
  options: CertificateOptions & { notBefore: Date },
  issuer: Authority,
  sct: Der | undefined,
): Der {
  const from = options.notBefore;
  const until = options.notAfter ?? new Date(from.getTime() + 600 * SECONDS);
  const san = tlv(options.identity.includes("://") ? 0x86 : 0x81, Buffer.from(options.identity));
  const key = spki(options.key);
  return certificateBody(
    issuer.name,
    sequence(),
    key,
    from,
    until,
    [
      extension("2.5.29.15", tlv(0x03, Buffer.from([7, 0x80])), true),
      extension("2.5.29.37", sequence(oid(options.usage ?? CODE_SIGNING))),
      extension("2.5.29.14", octets(createHash("sha1").update(key).digest())),
      extension("2.5.29.35", sequence(tlv(0x80, issuer.keyId))),
      extension("2.5.29.17", sequence(san), true),
      // Fulcio, oid-info.md: the issuer, in its old raw form and in its new one.
      extension("1.3.6.1.4.1.57264.1.1", Buffer.from(options.issuer)),
      extension("1.3.6.1.4.1.57264.1.8", utf8(options.issuer)),
      ...(sct === undefined ? [] : [extension("1.3.6.1.4.1.11129.2.4.2", octets(sct))]),
    ],
    createHash("sha256").update(key).digest().subarray(0, 12),
  );
}

function certificateBody(
  issuer: Der,
  subject: Der,
  publicKey: Der,
  from: Date,
  until: Date,
  extensions: readonly Der[],
  serial: Uint8Array = randomBytes(12),
): Der {
  return sequence(
    context(0, integer(2)),
    integer(BigInt(`0x1${Buffer.from(serial).toString("hex")}`)),
    ECDSA_SHA256,
    issuer,
    sequence(time(from), time(until)),
    subject,
    publicKey,
    context(3, sequence(...extensions)),
  );
}

function signedBy(tbs: Der, key: KeyObject): Der {
  return sequence(tbs, ECDSA_SHA256, bits(sign("sha256", tbs, key)));
}

function extension(id: string, value: Uint8Array, critical = false): Der {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function nameOf(commonName: string): Der {
  return sequence(set(sequence(oid("2.5.4.3"), utf8(commonName))));
}

/** RFC 6962, 3.3: a list of one timestamp over the precertificate. */
function timestampList(tbs: Der, issuer: Authority, log: { privateKey: KeyObject; publicKey: KeyObject }): Der {
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(Date.now()));
  const issuerHash = createHash("sha256").update(issuer.publicKey).digest();
  const covered = Buffer.concat([Buffer.from([0, 0]), stamp, u16(1), issuerHash, u24(tbs.length), tbs, u16(0)]);
  const signature = sign("sha256", covered, log.privateKey);
  const one = Buffer.concat([
    ...[Buffer.from([0]), createHash("sha256").update(spki(log.publicKey)).digest(), stamp, u16(0)],
    ...[Buffer.from([4, 3]), u16(signature.length), signature],
  ]);
  return Buffer.concat([u16(one.length + 2), u16(one.length), one]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function u24(value: number): Buffer {
  return Buffer.from([value >> 16, (value >> 8) & 0xff, value & 0xff]);
}

function spki(key: KeyObject): Der {
  return (key.type === "private" ? createPublicKey(key) : key).export({ type: "spki", format: "der" });
}

// --- the log ---

function logAuthority(baseUrl: string, key: KeyObject, start: Date): object {
  const der = spki(key);
  return {
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: {
      rawBytes: der.toString("base64"),
      keyDetails: "PKIX_ECDSA_P256_SHA_256",
      validFor: { start: start.toISOString() },
    },
    logId: { keyId: createHash("sha256").update(der).digest("base64") },
  };
}

function dsseBody(payload: Buffer, signature: Buffer, verifier: Der | string): object {
  const hash = (bytes: Uint8Array) => ({
    algorithm: "sha256",
    value: createHash("sha256").update(bytes).digest("hex"),
  });
  return {
    apiVersion: "0.0.1",
    kind: "dsse",
    spec: {
      envelopeHash: hash(payload),
      payloadHash: hash(payload),
      signatures: [{ signature: signature.toString("base64"), verifier: verifierText(verifier) }],
    },
  };
}

/** rekor-tiles, api/proto/rekor/v2/dsse.proto. */
function dsseBody2(payload: Buffer, signature: Buffer, certificate: Der): object {
  const verifier = {
    x509Certificate: { rawBytes: certificate.toString("base64") },
    keyDetails: "PKIX_ECDSA_P256_SHA_256",
  };
  const payloadHash = { algorithm: "SHA2_256", digest: createHash("sha256").update(payload).digest("base64") };
  const signatures = [{ content: signature.toString("base64"), verifier }];
  return { apiVersion: "0.0.2", kind: "dsse", spec: { dsseV002: { payloadHash, signatures } } };
}

function hashedRekordBody(payload: Buffer, signature: Buffer, verifier: Der | string): object {
  const value = createHash("sha256").update(payload).digest("hex");
  return {
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: { algorithm: "sha256", value } },
      signature: { content: signature.toString("base64"), publicKey: { content: verifierText(verifier) } },
    },
  };
}

function verifierText(verifier: Der | string): string {
  return Buffer.from(typeof verifier === "string" ? verifier : pem(verifier, "CERTIFICATE")).toString("base64");
}

/** An entry of a log that holds one other: with promise, proof and checkpoint, as Rekor 1 gives them. */
function logEntry(
  log: { privateKey: KeyObject; publicKey: KeyObject },
  body: object,
  options: LogOptions & { kind: string },
) {
  const key =
    options.tamper === "other-log" ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey : log.privateKey;
  const logId = createHash("sha256").update(spki(log.publicKey)).digest();
  const canonicalizedBody = Buffer.from(JSON.stringify(body)).toString("base64");
  const integratedTime = Math.floor((options.time ?? new Date()).getTime() / SECONDS);
  // RFC 8785: members sorted by name.
  const promised = JSON.stringify({
    body: canonicalizedBody,
    integratedTime,
    logID: logId.toString("hex"),
    logIndex: 1,
  });
  const leaf = treeHash(0, Buffer.from(canonicalizedBody, "base64"));
  const other = treeHash(0, Buffer.from("another entry"));
  const rootHash = treeHash(1, other, leaf);
  const note = `log.test\n2\n${rootHash.toString("base64")}\n`;
  const noteSignature = Buffer.concat([logId.subarray(0, 4), sign("sha256", Buffer.from(note), key)]);
  const promise = sign("sha256", Buffer.from(promised), key);
  if (options.tamper === "promise") promise[promise.length - 1] = (promise[promise.length - 1] ?? 0) ^ 1;
  if (options.tamper === "proof") other[0] = (other[0] ?? 0) ^ 1;
  if (options.tamper === "checkpoint") noteSignature[20] = (noteSignature[20] ?? 0) ^ 1;
  return {
    logIndex: "1",
    logId: { keyId: logId.toString("base64") },
    kindVersion: { kind: options.kind, version: options.generation === 2 ? "0.0.2" : "0.0.1" },
    ...(options.generation === 2
      ? { integratedTime: "0", inclusionPromise: undefined }
      : {
          integratedTime: String(integratedTime),
          inclusionPromise: { signedEntryTimestamp: promise.toString("base64") },
        }),
    inclusionProof: {
      logIndex: "1",
      rootHash: rootHash.toString("base64"),
      treeSize: "2",
      hashes: [other.toString("base64")],
      checkpoint: { envelope: `${note}\n\u2014 log.test ${noteSignature.toString("base64")}\n` },
    },
    canonicalizedBody:
      options.tamper === "body"
        ? Buffer.from(JSON.stringify({ ...body, tampered: true })).toString("base64")
        : canonicalizedBody,
  };
}

/** RFC 6962, 2.1. */
function treeHash(prefix: number, ...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256").update(Buffer.from([prefix]));
  for (const part of parts) hash.update(part);
  return hash.digest();
}
