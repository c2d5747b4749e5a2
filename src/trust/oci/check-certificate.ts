/**
 * Signatures by a certificate of an authority of one's own ("pki" of a policy.json), as containers/image decides about them (signature/pki_cert.go): the certificate must be
 * valid now, for code signing, and for the subject that the policy names; no log and no timestamp is asked for. Runs in the verify worker only.
 */

import type { Bundle } from "@sigstore/bundle";
import { X509Certificate } from "@sigstore/core";
import { verifyCertificateChain } from "@sigstore/verify/dist/key/certificate.js";
import { type Checked, requireImage, type SigstoreSignature, signedContent, words } from "./check-bundle.ts";
import { SignatureRefused } from "./problem.ts";
import { isSignedBy, publicKey } from "./public-key.ts";
import type { Subjects } from "./statement.ts";
import type { SignerSpec } from "./verify-messages.ts";

type Pki = Extract<SignerSpec, { kind: "pki" }>;

/** Of the chain that a signature carries: whoever pushes to a registry writes it, and each is tried. */
const MOST_CARRIED = 10;

/** Tags of GeneralName (RFC 5280, 4.2.1.6). */
const [RFC822_NAME, DNS_NAME] = [1, 2];

const [BASIC_CONSTRAINTS, NAME_CONSTRAINTS, EXTENDED_KEY_USAGE] = ["2.5.29.19", "2.5.29.30", "2.5.29.37"];
const CODE_SIGNING: readonly string[] = ["1.3.6.1.5.5.7.3.3", "2.5.29.37.0"];
/** Those that are checked, and those that restrict nothing here: key identifiers, key usage, subject, policies. */
const KNOWN_CRITICAL: readonly string[] = [
  ...[BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE],
  ...["2.5.29.14", "2.5.29.35", "2.5.29.15", "2.5.29.17", "2.5.29.32"],
];

/** Whether a certificate under one of the policy's roots made the signature, and of which image. Throws SignatureRefused. */
export function checkByCertificate(signature: SigstoreSignature, spec: Pki, subjects: Subjects): Checked {
  const [leaf, ...carried] = reading(() => certificatesOf(signature.bundle));
  if (leaf === undefined) {
    throw new SignatureRefused("stranger", "it was made with a bare key, and only certificates are trusted");
  }
  const { signed, bytes } = signedContent(signature);
  const signer = reading(() => {
    const path = verifiedPath(leaf, carried, spec, new Date());
    for (const certificate of path) requireUsable(certificate);
    if (!isSignedBy(publicKey(leaf.publicKey), signed, bytes)) {
      throw new SignatureRefused("invalid", "it does not hold: the key of its certificate did not make it");
    }
    return requireSubject(leaf, spec);
  });
  return { signer, name: requireImage(signature, subjects) };
}

/** The signer's first. */
function certificatesOf({ verificationMaterial: { content } }: Bundle): X509Certificate[] {
  switch (content.$case) {
    case "publicKey":
      return [];
    case "certificate":
      return [parsed(content.certificate.rawBytes)];
    case "x509CertificateChain":
      return content.x509CertificateChain.certificates
        .slice(0, 1 + MOST_CARRIED)
        .map(({ rawBytes }) => parsed(rawBytes));
  }
}

/** From the signer's certificate to a root. Throws the library's errors. */
function verifiedPath(leaf: X509Certificate, carried: readonly X509Certificate[], spec: Pki, now: Date) {
  const trusted = spec.roots.map(ofPolicy);
  // A signer's own certificate may be the root.
  const pinned = trusted.find((one) => one.equals(leaf));
  if (pinned !== undefined) return pathOf(pinned, trusted, now);
  let waiting = [...spec.intermediates.map(ofPolicy), ...carried];
  // The library believes every certificate that it is given, so it is given an intermediate only after it has itself followed it up to a root.
  for (;;) {
    const { found = [], left = [] } = Object.groupBy(waiting, (one) =>
      isVouchedFor(one, trusted, now) ? "found" : "left",
    );
    if (found.length === 0) return pathOf(leaf, trusted, now);
    trusted.push(...found);
    waiting = left;
  }
}

function isVouchedFor(certificate: X509Certificate, trusted: readonly X509Certificate[], now: Date): boolean {
  try {
    return certificate.isCA && pathOf(certificate, trusted, now).length > 0;
  } catch {
    return false;
  }
}

function pathOf(certificate: X509Certificate, trusted: readonly X509Certificate[], now: Date): X509Certificate[] {
  // The library removes doubles from the list that it gets.
  return verifyCertificateChain(now, certificate, [{ certChain: [...trusted], validFor: { start: now, end: now } }]);
}

/** RFC 5280, 4.2: what is critical and not understood refuses; 4.2.1.12: without an extended key usage a key is for everything. */
function requireUsable(certificate: X509Certificate): void {
  for (const { subs } of certificate.extensions) {
    const id = subs[0]?.toOID() ?? "";
    if (id === NAME_CONSTRAINTS) {
      throw new SignatureRefused("unsupported", "its authority is for certain names only, which is not supported");
    }
    if (certificate.extension(id)?.critical === true && !KNOWN_CRITICAL.includes(id)) {
      throw new SignatureRefused("unsupported", `its certificates have a critical extension that is not known (${id})`);
    }
  }
  const usage = certificate.extension(EXTENDED_KEY_USAGE);
  if (usage === undefined) return;
  const purposes = usage.valueObj.subs[0]?.subs.map((one) => one.toOID()) ?? [];
  if (purposes.some((one) => CODE_SIGNING.includes(one))) return;
  throw new SignatureRefused("invalid", "its certificate is not for signing code");
}

/** In words. The subject's common name is none: authorities write there what they like. */
function requireSubject(certificate: X509Certificate, { email, hostname }: Pki): string {
  const [emails, hosts] = [namesIn(certificate, RFC822_NAME), namesIn(certificate, DNS_NAME)];
  const isRight =
    (email === undefined || emails.includes(email)) &&
    (hostname === undefined || hosts.some((pattern) => isHost(pattern, hostname)));
  if (isRight && (email ?? hostname) !== undefined) {
    return [email, hostname].filter((one) => one !== undefined).join(", ");
  }
  const names = [...emails, ...hosts].map((one) => `"${one}"`).join(", ");
  throw new SignatureRefused("stranger", `it was made by ${names || "somebody without a name"}`);
}

function namesIn(certificate: X509Certificate, tag: number): string[] {
  const names = certificate.extSubjectAltName?.valueObj.subs[0]?.subs ?? [];
  return names.filter((one) => one.tag.isContextSpecific(tag)).map(({ value }) => value.toString("latin1"));
}

/** RFC 6125, 6.4: without regard to case; an asterisk stands for the whole first label. */
function isHost(pattern: string, hostname: string): boolean {
  const [first, ...rest] = pattern.toLowerCase().split(".");
  const [hostFirst, ...hostRest] = hostname.toLowerCase().replace(/\.$/, "").split(".");
  if (rest.join(".") !== hostRest.join(".") || hostFirst === "") return false;
  return first === hostFirst || (first === "*" && rest.length > 0);
}

function ofPolicy(base64: string): X509Certificate {
  return parsed(Buffer.from(base64, "base64"));
}

function parsed(der: Uint8Array): X509Certificate {
  return X509Certificate.parse(Buffer.from(der));
}

function reading<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SignatureRefused) throw error;
    throw new SignatureRefused("invalid", `it does not hold: ${words(error)}`);
  }
}
