/** The signers that a requirement of a policy.json names: keys in files or inline, Fulcio identities, and certificates of authorities of one's own. */

import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { RktError } from "../../core/errors.ts";
import { printable, quoted } from "../../core/text.ts";
import { field, isPresent, items, type Place, text } from "../../spec/document.ts";
import { KEY_LIMIT } from "../keystore.ts";
import { dearmor, keyringFingerprints } from "../packets.ts";
import { pemContent, pemContents } from "./pem.ts";
import { refuseUnknown } from "./policy-identity.ts";
import type { SignerSpec } from "./verify-messages.ts";

export type PolicySigner = SignerSpec;

/** "keyPath", "keyPaths" or "keyData" of a signedBy. Throws INVALID_CONFIG. */
export function readOpenPgpKeys(place: Place): PolicySigner {
  const keyrings = contents(place, "key").map(({ bytes, where }) => {
    const keyring = dearmor(bytes, "PUBLIC KEY BLOCK");
    if (keyring === undefined) throw new RktError("INVALID_CONFIG", `${where}: expected OpenPGP public keys`);
    return keyring;
  });
  const keyring = Buffer.concat(keyrings);
  const fingerprints = keyringFingerprints(keyring);
  if (fingerprints.length === 0) throw new RktError("INVALID_CONFIG", `${place.path}: expected OpenPGP public keys`);
  return { kind: "openpgp", keyring: keyring.toString("base64"), fingerprints };
}

/** Throws INVALID_CONFIG. */
export function readSigstoreSigners(place: Place): PolicySigner[] {
  const sources = [...variants("key"), "fulcio", "pki"];
  refuseUnknown(place, ["type", "signedIdentity", ...sources, ...variants("rekorPublicKey")]);
  const given = sources.filter((name) => isPresent(field(place, name)));
  if (given.length !== 1) {
    const found = given.length === 0 ? "none" : given.join(" and ");
    throw new RktError("INVALID_CONFIG", `${place.path}: expected one of ${sources.join(", ")}, got ${found}`);
  }
  const logKeys = contents(place, "rekorPublicKey").map(publicKey);
  const [fulcio, pki] = [field(place, "fulcio"), field(place, "pki")];
  if (isPresent(fulcio)) return [readFulcio(fulcio, logKeys)];
  if (isPresent(pki)) return [readPki(pki, logKeys)];
  const trustedRoot = logKeys.length === 0 ? undefined : rootOf([], logKeys);
  const keys = contents(place, "key").map(publicKey);
  if (keys.length === 0) throw new RktError("INVALID_CONFIG", `${place.path}: expected a key`);
  return keys.map((der) => ({
    kind: "key",
    der: der.toString("base64"),
    ...(trustedRoot === undefined ? {} : { trustedRoot }),
  }));
}

/** The certificates must be the whole chain down to the issuer of the signer's: nothing that an image carries is used to complete it. */
function readFulcio(place: Place, logKeys: readonly Buffer[]): PolicySigner {
  refuseUnknown(place, ["caPath", "caData", "oidcIssuer", "subjectEmail"]);
  const [ca] = contents(place, "ca");
  if (ca === undefined) throw new RktError("INVALID_CONFIG", `${place.path}: expected "caPath" or "caData"`);
  if (logKeys.length === 0) {
    throw new RktError(
      "INVALID_CONFIG",
      `${place.path}: expected "rekorPublicKeyPath" beside it, which proves the time`,
    );
  }
  const issuer = text(field(place, "oidcIssuer"));
  const identity = text(field(place, "subjectEmail"));
  if (issuer === "" || identity === "") {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected "oidcIssuer" and "subjectEmail"`);
  }
  return { kind: "identity", issuer, identity, trustedRoot: rootOf(certificates(ca), logKeys) };
}

/** No log is asked for, so one that is named would be a promise that nobody keeps. */
function readPki(place: Place, logKeys: readonly Buffer[]): PolicySigner {
  const [roots, intermediates] = ["caRoots", "caIntermediates"];
  const files = [roots, intermediates].flatMap((name) => [`${name}Path`, `${name}Data`]);
  refuseUnknown(place, [...files, "subjectEmail", "subjectHostname"]);
  if (logKeys.length > 0) {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected no "rekorPublicKey…" beside it: no log is asked`);
  }
  const authorities = contents(place, roots).flatMap(certificates);
  if (authorities.length === 0) {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected "caRootsPath" or "caRootsData"`);
  }
  const [email, hostname] = [text(field(place, "subjectEmail")), text(field(place, "subjectHostname"))];
  if (email === "" && hostname === "") {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected "subjectEmail" or "subjectHostname"`);
  }
  if (isIP(hostname) !== 0) {
    throw new RktError("INVALID_CONFIG", `${place.path}.subjectHostname: is an address, expected a host's name`);
  }
  return {
    kind: "pki",
    roots: authorities.map((der) => der.toString("base64")),
    intermediates: contents(place, intermediates)
      .flatMap(certificates)
      .map((der) => der.toString("base64")),
    ...(email === "" ? {} : { email }),
    ...(hostname === "" ? {} : { hostname }),
    authority: authorities.map((der) => subjectOf(der, place)).join(" or "),
  };
}

function subjectOf(der: Buffer, place: Place): string {
  try {
    return printable(new X509Certificate(der).subject.replaceAll("\n", ", "), 200);
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected certificates`, { cause });
  }
}

interface Content {
  readonly bytes: Buffer;
  readonly where: string;
}

/** Of "xPath", "xPaths", "xData" (base64) and "xDatas": containers-policy.json(5) allows one. */
function contents(place: Place, name: string): Content[] {
  const given = variants(name).filter((one) => isPresent(field(place, one)));
  if (given.length > 1) {
    throw new RktError("INVALID_CONFIG", `${place.path}: expected ${given.join(" or ")}, not both`);
  }
  const path = field(place, `${name}Path`);
  const data = field(place, `${name}Data`);
  const paths = [...(isPresent(path) ? [path] : []), ...items(field(place, `${name}Paths`))];
  const datas = [...(isPresent(data) ? [data] : []), ...items(field(place, `${name}Datas`))];
  return [
    ...paths.map((one) => ({ bytes: readKeyFile(text(one)), where: one.path })),
    ...datas.map((one) => ({ bytes: Buffer.from(text(one), "base64"), where: one.path })),
  ];
}

function variants(name: string): string[] {
  return [`${name}Path`, `${name}Paths`, `${name}Data`, `${name}Datas`];
}

function readKeyFile(path: string): Buffer {
  try {
    if (statSync(path).size <= KEY_LIMIT) return readFileSync(path);
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `Cannot read ${quoted(path)}`, { cause });
  }
  throw new RktError("INVALID_CONFIG", `Cannot read ${quoted(path)}: it has more than ${KEY_LIMIT} bytes`);
}

function publicKey({ bytes, where }: Content): Buffer {
  const der = pemContent(bytes.toString("latin1"), "PUBLIC KEY");
  if (der === undefined) throw new RktError("INVALID_CONFIG", `${where}: expected a public key in PEM form`);
  return der;
}

function certificates({ bytes, where }: Content): Buffer[] {
  const chain = pemContents(bytes.toString("latin1"), "CERTIFICATE");
  if (chain.length === 0) throw new RktError("INVALID_CONFIG", `${where}: expected certificates in PEM form`);
  return chain;
}

/** The authorities as a trusted root: without certificate logs, which policy.json does not know. */
function rootOf(chain: readonly Buffer[], logKeys: readonly Buffer[]): string {
  const validFor = { start: "1970-01-01T00:00:00Z" };
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: logKeys.map((der) => ({
      baseUrl: "",
      hashAlgorithm: "SHA2_256",
      publicKey: { rawBytes: der.toString("base64"), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
      logId: { keyId: new Bun.CryptoHasher("sha256").update(der).digest("base64") },
    })),
    certificateAuthorities:
      chain.length === 0
        ? []
        : [{ certChain: { certificates: chain.map((der) => ({ rawBytes: der.toString("base64") })) }, validFor }],
    ctlogs: [],
    timestampAuthorities: [],
  });
}
