/** The verify worker's task for an OCI image: every signature found against every signer that would be believed. Never sees the image itself, only digests and documents. */

import { formatDigest } from "../../core/digest.ts";
import { RktError } from "../../core/errors.ts";
import type { SignatureDocument, SignatureSet } from "../../core/spine.ts";
import { readDocument } from "../../spec/document.ts";
import { parseIndex } from "../../spec/oci/mod.ts";
import { decodeSignatureSet } from "../../spec/oci/signature-set.ts";
import type { Checked, SigstoreSignature } from "./check-bundle.ts";
import { openSignedMessage } from "./check-simple.ts";
import { nameProblem } from "./name-rule.ts";
import { problemTexts, SignatureRefused } from "./problem.ts";
import { requireSimpleSigning, type Subjects } from "./statement.ts";
import type { AcceptedSignature, SignerSpec, VerifyOciAnswer, VerifyOciRequest } from "./verify-messages.ts";

/** Throws INVALID_INPUT for a trusted root or key that cannot be read, HOST_PROGRAM without gpgv. */
export async function checkOci(request: VerifyOciRequest): Promise<VerifyOciAnswer> {
  const set = decodeSignatureSet(readDocument(request.signatures, "the image's signatures"));
  const subjects = subjectsOf(request.digest, set);
  const accepted: AcceptedSignature[] = [];
  const problems: SignatureRefused[] = [];
  for (const document of set.documents) {
    const check = checkerOf(document, subjects);
    for (const [entry, { signer, names }] of request.trust.entries()) {
      try {
        const checked = await check(signer);
        const problem = nameProblem(names, checked.name);
        if (problem !== undefined) throw new SignatureRefused("other-name", problem);
        accepted.push({ entry, signer: checked.signer });
      } catch (error) {
        if (!(error instanceof SignatureRefused)) throw error;
        problems.push(error);
      }
    }
  }
  return { kind: "oci-verdict", accepted, problems: problemTexts(problems) };
}

/** The manifest's digest, and that of every index that lists it: whoever signs an index signs what it names. The indexes are the innermost last. */
function subjectsOf(digest: string, { indexes }: SignatureSet): Subjects {
  const subjects = new Set([digest]);
  for (const index of [...indexes].reverse()) {
    if (!lists(index, subjects)) continue;
    for (const algorithm of ["sha256", "sha512"] as const) {
      subjects.add(`${algorithm}:${new Bun.CryptoHasher(algorithm).update(index).digest("hex")}`);
    }
  }
  return subjects;
}

function lists(index: Uint8Array, subjects: Subjects): boolean {
  try {
    return parseIndex(Buffer.from(index).toString("utf8")).manifests.some((one) =>
      subjects.has(formatDigest(one.digest)),
    );
  } catch (error) {
    if (error instanceof RktError) return false;
    throw error;
  }
}

type Checker = (signer: SignerSpec) => Promise<Checked>;

function checkerOf(document: SignatureDocument, subjects: Subjects): Checker {
  return document.kind === "simple" ? simpleChecker(document, subjects) : sigstoreChecker(document, subjects);
}

function simpleChecker({ content }: { content: Uint8Array }, subjects: Subjects): Checker {
  return async (signer) => {
    if (signer.kind !== "openpgp") throw new SignatureRefused("stranger", "it is an OpenPGP signature");
    const { payload, fingerprint } = await openSignedMessage(content, Buffer.from(signer.keyring, "base64"));
    // A file of a keystore may hold more keys than the one it is trusted for.
    if (!signer.fingerprints.includes(fingerprint)) {
      throw new SignatureRefused("stranger", "it was made by none of the trusted keys");
    }
    return { signer: fingerprint, name: requireSimpleSigning(payload, "openpgp", subjects) };
  };
}

/** The library is loaded only where there is such a signature. */
function sigstoreChecker(document: Exclude<SignatureDocument, { kind: "simple" }>, subjects: Subjects): Checker {
  let signature: SigstoreSignature | undefined;
  return async (signer) => {
    if (signer.kind === "openpgp") throw new SignatureRefused("stranger", "it is a Sigstore signature");
    const { checkByIdentity, checkByKey, readSignature } = await import("./check-bundle.ts");
    signature ??= readSignature(document);
    switch (signer.kind) {
      case "key":
        return checkByKey(signature, signer, subjects);
      case "identity":
        return checkByIdentity(signature, signer, subjects);
      case "pki":
        return (await import("./check-certificate.ts")).checkByCertificate(signature, signer, subjects);
    }
  };
}
