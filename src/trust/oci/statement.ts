/** What a signature says, once it is known to be true: which image it is about. Three formats say it. */

import { RktError } from "../../core/errors.ts";
import { entries, field, items, readDocument, text } from "../../spec/document.ts";
import { SignatureRefused } from "./problem.ts";

/** The digests that an image may be signed by: its manifest's, and those of the indexes that led to it. */
export type Subjects = ReadonlySet<string>;

/**
 * Predicates that say "this is my image". Others (a scan's result, an SBOM) are true words of the same signer about any image, good or bad: they must not let it run.
 */
const SIGNING_PREDICATES: readonly string[] = [
  "https://sigstore.dev/cosign/sign/v1",
  "https://slsa.dev/provenance/v1",
  "https://slsa.dev/provenance/v0.2",
];

const IN_TOTO = "application/vnd.in-toto+json";

/**
 * A payload of simple signing (containers-signature(5)): by OpenPGP, or in cosign's form, which has the same fields. Returns the name of the image in it.
 * Throws SignatureRefused.
 */
export function requireSimpleSigning(payload: Uint8Array, form: "openpgp" | "cosign", subjects: Subjects): string {
  return reading(() => {
    const critical = field(readDocument(utf8(payload), "the signature"), "critical");
    const type = text(field(critical, "type"));
    const expected = form === "openpgp" ? "atomic container signature" : "cosign container image signature";
    if (type !== expected) throw new SignatureRefused("unsupported", `it is of type "${type}", expected "${expected}"`);
    requireSubject([text(field(field(critical, "image"), "docker-manifest-digest"))], subjects);
    const name = text(field(field(critical, "identity"), "docker-reference"));
    if (name === "") throw new SignatureRefused("malformed", "it names no image");
    return name;
  });
}

/** An in-toto statement (v0.1 or v1) about the image. Throws SignatureRefused. */
export function requireStatement(payloadType: string, payload: Uint8Array, subjects: Subjects): void {
  if (payloadType !== IN_TOTO) throw new SignatureRefused("unsupported", `it signs a "${payloadType}", not an image`);
  reading(() => {
    const statement = readDocument(utf8(payload), "the statement");
    if (!/^https:\/\/in-toto\.io\/Statement\/v(0\.1|1)$/.test(text(field(statement, "_type")))) {
      throw new SignatureRefused("unsupported", "it is no in-toto statement");
    }
    const predicate = text(field(statement, "predicateType"));
    if (!SIGNING_PREDICATES.includes(predicate)) {
      throw new SignatureRefused(
        "unsupported",
        `it says something about the image ("${predicate}"), but does not sign it`,
      );
    }
    const digests = items(field(statement, "subject")).flatMap((subject) =>
      entries(field(subject, "digest")).map(([algorithm, hex]) => `${algorithm}:${text(hex)}`),
    );
    requireSubject(digests, subjects);
  });
}

function requireSubject(digests: readonly string[], subjects: Subjects): void {
  if (digests.some((digest) => subjects.has(digest))) return;
  throw new SignatureRefused("other-image", `it is for another image (${digests[0] ?? "none"})`);
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SignatureRefused) throw error;
    if (error instanceof RktError) throw new SignatureRefused("malformed", error.message);
    throw new SignatureRefused("malformed", "it is not UTF-8");
  }
}
