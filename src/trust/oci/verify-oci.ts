/**
 * The decision about an OCI image: which signers would be believed for its name, and whether one of them signed it. The documents are read and checked by the verify worker;
 * here stands what counts.
 */

import { formatDigest } from "../../core/digest.ts";
import { RktError } from "../../core/errors.ts";
import type { ImageReference, OciDownload, SignedAs, Verification } from "../../core/spine.ts";
import { quoted } from "../../core/text.ts";
import { encodeSignatureSet } from "../../spec/oci/signature-set.ts";
import { readKeys } from "../keystore.ts";
import { allKeystoreFiles, type KeystoreTree, keystoreFiles } from "../keystore-files.ts";
import { repositoryNames } from "../prefix.ts";
import { askVerifyWorker } from "../run-worker.ts";
import type { VerifyOptions } from "../verify-download.ts";
import { type ImageName, normalRepository } from "./image-name.ts";
import type { NameRule } from "./name-rule.ts";
import { dockerSubject, fileSubject, type Policy, policyFor, type Requirement } from "./policy-file.ts";
import { notSigned, notTrusted, rejected } from "./refusals.ts";
import { hostTrustedRoot, readSigners, type SigstoreSigner } from "./sigstore-keystore.ts";
import {
  type AcceptedSignature,
  decodeOciVerdict,
  type TrustEntry,
  type VerifyOciAnswer,
  type VerifyOciRequest,
} from "./verify-messages.ts";

type SignedRequirement = Extract<Requirement, { type: "signed" }>;

/** One signer that would be believed, and why. */
interface Believed {
  readonly entry: TrustEntry;
  readonly trustedBy: string;
}

/**
 * How the image is trusted. In this order: a policy.json that is in force may reject it, or ask for signatures, all of which must be there; without such rules a signature
 * of a key or identity of the keystore is needed; where the keystore has none for the name, a policy.json may accept it as it is.
 * `reference`: how the image was asked for; undefined for one of the store that somebody else fetched, whose name is a claim.
 * Throws NOT_TRUSTED, INVALID_CONFIG, HOST_PROGRAM.
 */
export async function verifyOci(
  download: OciDownload,
  reference: ImageReference | undefined,
  options: VerifyOptions,
): Promise<Verification> {
  const image = imageOf(download, reference);
  const policy = policyOf(image, reference, options);
  const claim: SignedAs = reference?.kind === "docker" ? {} : { nameClaimed: true };
  if (policy?.requirements.some(({ type }) => type === "reject") === true) throw rejected(download, policy);
  const required = (policy?.requirements ?? []).filter((one) => one.type === "signed");
  if (policy !== undefined && required.length > 0)
    return { ...(await byPolicy(download, policy, required, options)), ...claim };
  const believed = keystoreFor(download, image, options);
  // A claimed name must not choose a rule that asks for nothing.
  if (believed.length === 0 && policy !== undefined && reference !== undefined) {
    options.emit({
      kind: "warning",
      text: `${quoted(policy.path)} accepts ${quoted(download.origin)} without a signature`,
    });
    return { kind: "policy", trustedBy: policy.path, ...claim };
  }
  return { ...(await byKeystore(download, believed, options)), ...claim };
}

async function byPolicy(
  download: OciDownload,
  policy: Policy,
  required: readonly SignedRequirement[],
  options: VerifyOptions,
): Promise<Verification> {
  const believed = required.flatMap(({ signers, names }, requirement) =>
    signers.map((signer) => ({ requirement, trustedBy: policy.path, entry: { signer, names } })),
  );
  const { accepted, problems } = await ask(download, believed, options, policy);
  const satisfied = new Set(accepted.map(({ entry }) => believed[entry]?.requirement));
  const [first] = accepted;
  if (first === undefined || satisfied.size < required.length) throw notTrusted(download, problems, policy);
  return verdict(first, believed, options);
}

async function byKeystore(
  download: OciDownload,
  believed: readonly Believed[],
  options: VerifyOptions,
): Promise<Verification> {
  const { accepted, problems } = await ask(download, believed, options, undefined);
  const [first] = accepted;
  if (first === undefined) throw notTrusted(download, problems, undefined);
  for (const problem of problems)
    options.emit({ kind: "debug", source: "image", text: `ignoring a signature: ${problem}` });
  return verdict(first, believed, options);
}

async function ask(
  download: OciDownload,
  believed: readonly Believed[],
  options: VerifyOptions,
  policy: Policy | undefined,
): Promise<VerifyOciAnswer> {
  const set = download.signatures;
  if (set === undefined || set.documents.length === 0 || believed.length === 0) {
    throw notSigned(download, believed.length > 0, policy);
  }
  const request: VerifyOciRequest = {
    kind: "verify-oci",
    digest: formatDigest(download.manifest.digest),
    signatures: encodeSignatureSet(set),
    trust: believed.map(({ entry }) => entry),
  };
  options.emit({
    kind: "debug",
    source: "image",
    text: `checking ${set.documents.length} signatures of ${download.origin}`,
  });
  const answer = await (options.verifier?.ask(request) ?? askVerifyWorker(request, []));
  return decodeOciVerdict(answer, request);
}

function verdict(
  { entry, signer }: AcceptedSignature,
  believed: readonly Believed[],
  { emit }: VerifyOptions,
): Verification {
  const found = believed[entry];
  if (found === undefined) throw new RktError("HOST_PROGRAM", "Cannot verify: the verify worker accepted for nobody");
  const { trustedBy } = found;
  const spec = found.entry.signer;
  emit({ kind: "notice", source: "image", text: `signature verified:\n  ${signer}` });
  switch (spec.kind) {
    case "identity":
      return { kind: "sigstore-identity", identity: signer, issuer: spec.issuer, trustedBy };
    case "pki":
      return { kind: "sigstore-identity", identity: signer, issuer: spec.authority, trustedBy };
    case "key":
      return { kind: "sigstore-key", fingerprint: sha256(Buffer.from(spec.der, "base64")), trustedBy };
    case "openpgp":
      // The worker says which key of the keyring: it must be one that counts.
      if (!spec.fingerprints.includes(signer)) {
        throw new RktError("HOST_PROGRAM", "Cannot verify: the verify worker named a key that it was not given");
      }
      return { kind: "openpgp", fingerprint: signer, trustedBy };
  }
}

/** The keys and identities trusted for the image's name. A layout without a name of a registry claims none: then every key counts, for the names it is trusted for. */
function keystoreFor(download: OciDownload, image: ImageName | undefined, options: VerifyOptions): Believed[] {
  const names = repositoryNames(download.source);
  const files = (tree: KeystoreTree) =>
    names.length === 0 ? allKeystoreFiles(options, tree) : keystoreFiles(names, options, tree);
  const rule = (prefix: string): NameRule =>
    image === undefined ? { rule: "below", prefixes: [prefix] } : { rule: "same", image };
  // One entry for the keys of one prefix: gpgv then reads each signature once.
  const keys = Map.groupBy(readKeys(files(""), options.emit), ({ prefix }) => prefix);
  const openpgp = [...keys].map(([prefix, trusted]): Believed => {
    const keyring = Buffer.concat(trusted.map((key) => key.keyring)).toString("base64");
    const fingerprints = trusted.map(({ fingerprint }) => fingerprint);
    return { trustedBy: prefix, entry: { signer: { kind: "openpgp", keyring, fingerprints }, names: rule(prefix) } };
  });
  const root = lazy(() => hostTrustedRoot(options));
  const signers = readSigners(files("sigstore-"), options.emit).flatMap((signer): Believed[] => {
    const spec = specOf(signer, root, options);
    return spec === undefined
      ? []
      : [{ trustedBy: signer.prefix, entry: { signer: spec, names: rule(signer.prefix) } }];
  });
  return [...openpgp, ...signers];
}

function specOf(
  signer: SigstoreSigner,
  hostRoot: () => string | undefined,
  { emit }: VerifyOptions,
): TrustEntry["signer"] | undefined {
  if (signer.kind === "key") return { kind: "key", der: signer.der.toString("base64") };
  const trustedRoot = signer.trustedRoot ?? hostRoot();
  if (trustedRoot === undefined) {
    emit({
      kind: "warning",
      text: `ignoring ${quoted(signer.path)} in the keystore: no trusted root vouches for identities (trustedkeys/trusted_root.json)`,
    });
    return undefined;
  }
  const { issuer, identity, identityRegexp } = signer;
  return {
    kind: "identity",
    issuer,
    trustedRoot,
    ...(identity === undefined ? {} : { identity }),
    ...(identityRegexp === undefined ? {} : { identityRegexp }),
  };
}

/** The name that the image was asked for by, or that it claims; undefined for one of no registry. */
function imageOf({ source }: OciDownload, reference: ImageReference | undefined): ImageName | undefined {
  if (reference?.kind === "docker") {
    const { registry, repository, tag, digest } = reference;
    const name = normalRepository(`${registry}/${repository}`);
    if (digest !== undefined) return { repository: name, tag: undefined, digest: formatDigest(digest) };
    return { repository: name, tag, digest: undefined };
  }
  if (source?.registry === undefined || source.repository === undefined) return undefined;
  const isDigest = source.reference.includes(":");
  return {
    repository: normalRepository(`${source.registry}/${source.repository}`),
    tag: isDigest ? undefined : source.reference || undefined,
    digest: isDigest ? source.reference : undefined,
  };
}

function policyOf(
  image: ImageName | undefined,
  reference: ImageReference | undefined,
  options: VerifyOptions,
): Policy | undefined {
  const file = reference === undefined ? undefined : fileSubject(reference);
  if (file !== undefined) return policyFor(file, options);
  if (image !== undefined) return policyFor(dockerSubject(image), options);
  return policyFor({ transport: "oci", scopes: [], image: undefined }, options);
}

function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function sha256(bytes: Buffer): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
