/** Certificate authorities as a company has them, made by openssl, and cosign signatures by their certificates. */

import { createPrivateKey } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CosignLayer, cosignPayload, rawSign } from "./sigstore.ts";
import { runProgram } from "./temporary.ts";

export interface Certified {
  /** Files. */
  readonly certificate: string;
  readonly key: string;
  readonly pem: string;
}

export interface CertificateDetails {
  /** Lines of openssl's x509v3_config(5). */
  readonly extensions?: readonly string[];
  /** openssl's name and options. Default: ECDSA P-256. */
  readonly algorithm?: readonly string[];
  readonly from?: Date;
  readonly until?: Date;
}

const P256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const HOUR = 3_600_000;

export const AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];

/** Of one who signs code: `names` as "email:dev@example.com" or "DNS:build.example.com". */
export function signerExtensions(...names: readonly string[]): string[] {
  return [
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=codeSigning",
    ...(names.length === 0 ? [] : [`subjectAltName=${names.join(",")}`]),
  ];
}

/** A self-signed authority without an issuer, else a certificate by `issuer`. Its files lie below `dir`. */
export function certify(
  dir: string,
  commonName: string,
  issuer: Certified | undefined,
  { extensions = AUTHORITY, algorithm = P256, from, until }: CertificateDetails = {},
): Certified {
  const place = join(dir, commonName.replaceAll(" ", "-"));
  mkdirSync(place);
  const file = (name: string) => join(place, name);
  const [certificate, key, request] = [file("certificate.pem"), file("key.pem"), file("request.pem")];
  const subject = ["-subj", `/CN=${commonName}`];
  runProgram([
    "openssl",
    "req",
    "-new",
    "-nodes",
    "-newkey",
    ...algorithm,
    "-keyout",
    key,
    "-out",
    request,
    ...subject,
  ]);
  writeFileSync(file("database"), "");
  writeFileSync(
    file("config"),
    [
      ...["[ca]", "default_ca=own", "[own]", `database=${file("database")}`, `new_certs_dir=${place}`],
      ...["default_md=sha256", "policy=any", "rand_serial=yes", "x509_extensions=made", "[any]", "commonName=supplied"],
      ...["[made]", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", ...extensions, ""],
    ].join("\n"),
  );
  const by =
    issuer === undefined ? ["-selfsign", "-keyfile", key] : ["-cert", issuer.certificate, "-keyfile", issuer.key];
  const times = [
    ...["-startdate", opensslTime(from ?? new Date(Date.now() - HOUR))],
    ...["-enddate", opensslTime(until ?? new Date(Date.now() + 24 * HOUR))],
  ];
  const files = ["-config", file("config"), "-in", request, "-out", certificate];
  runProgram(["openssl", "ca", "-batch", "-notext", "-utf8", ...files, ...by, ...times]);
  return { certificate, key, pem: readFileSync(certificate, "utf8") };
}

/** A layer of a `.sig` manifest as `cosign sign --certificate --certificate-chain` writes it: without an entry in a log. `chain`: the issuer's first. */
export function certifiedLayer(
  digest: string,
  reference: string,
  signer: Certified,
  chain: readonly Certified[],
): CosignLayer {
  const payload = Buffer.from(JSON.stringify(cosignPayload(digest, reference)));
  const signature = rawSign(payload, createPrivateKey(readFileSync(signer.key)));
  return {
    payload,
    annotations: {
      "dev.cosignproject.cosign/signature": signature.toString("base64"),
      "dev.sigstore.cosign/certificate": signer.pem,
      ...(chain.length > 0 && { "dev.sigstore.cosign/chain": chain.map(({ pem }) => pem).join("") }),
    },
  };
}

/** YYYYMMDDHHMMSSZ. */
function opensslTime(date: Date): string {
  return `${date.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}
