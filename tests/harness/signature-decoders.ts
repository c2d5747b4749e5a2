/** Signatures of OCI images as strangers hand them in: Sigstore's bundles and cosign's layers (examples in tests/hostile/corpus/sigstore), sets of them, and the verify worker's answers. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import type { SignatureDocument } from "../../src/core/spine.ts";
import { readDocument } from "../../src/spec/document.ts";
import {
  decodeSignatureSet,
  encodeSignatureSet,
  SIGNATURE_LIMITS,
  sizeOfSet,
} from "../../src/spec/oci/signature-set.ts";
import { decodeVerdict } from "../../src/trust/messages.ts";
import { checkByIdentity, checkByKey, readSignature } from "../../src/trust/oci/check-bundle.ts";
import { checkByCertificate } from "../../src/trust/oci/check-certificate.ts";
import { pemContent } from "../../src/trust/oci/pem.ts";
import { SignatureRefused } from "../../src/trust/oci/problem.ts";
import { decodeOciVerdict, type VerifyOciRequest } from "../../src/trust/oci/verify-messages.ts";
import { BrokenPromise, type Decoder } from "./fuzz.ts";
import { type Json, mutateJson } from "./mutate.ts";

const CORPUS = join(import.meta.dir, "../hostile/corpus/sigstore");
const SUBJECTS = new Set([`sha256:${"0123456789abcdef".repeat(4)}`]);
const IMAGE = "registry.example.com/team/app";
const DEV = { identity: "dev@example.com", issuer: "https://issuer.example" };

const read = (name: string) => readFileSync(join(CORPUS, name), "utf8");
const json = (name: string): Json => JSON.parse(read(name));

export function signatureDecoders(): Decoder[] {
  const trustedRoot = read("trusted_root.json");
  const der = pemContent(read("key.pem"), "PUBLIC KEY")?.toString("base64") ?? "";
  const bundles = [json("bundle-of-identity.json"), json("bundle-of-key.json")];
  const layers = [json("layer-of-identity.json"), json("layer-of-key.json")];
  const [{ certChain }] = JSON.parse(trustedRoot).certificateAuthorities;
  const chain = certChain.certificates.map(({ rawBytes }: { rawBytes: string }) => rawBytes);
  const pki = { kind: "pki", roots: chain, intermediates: chain, email: DEV.identity, authority: "" } as const;
  const check = (document: Exclude<SignatureDocument, { kind: "simple" }>) => {
    const signature = readSignature(document);
    // Every signer that is trusted is tried with every signature.
    return refusals(
      () => checkByKey(signature, { kind: "key", der }, SUBJECTS),
      () => checkByIdentity(signature, { kind: "identity", ...DEV, trustedRoot }, SUBJECTS),
      () => checkByCertificate(signature, pki, SUBJECTS),
    );
  };
  return [
    {
      name: "Sigstore bundles",
      make: (random) => mutateJson(random, bundles),
      decode: (content) => asRkt(() => check({ kind: "bundle", content })),
    },
    {
      name: "layers with cosign's signatures",
      make: (random) => mutateJson(random, layers),
      decode: (input) =>
        asRkt(() => {
          const { name } = check(layerOf(input));
          // Not a byte of what is signed can be another.
          if (name !== IMAGE) throw new BrokenPromise(`a good signature for ${name}`);
        }),
    },
    {
      name: "sets of signatures",
      make: (random) => mutateJson(random, SETS),
      decode: (input) => {
        const set = decodeSignatureSet(readDocument(input.toString("utf8"), "the signatures"));
        if (sizeOfSet(set) > SIGNATURE_LIMITS.all) throw new BrokenPromise("too large");
        const text = encodeSignatureSet(set);
        const again = encodeSignatureSet(decodeSignatureSet(readDocument(text, "the same")));
        if (again !== text) throw new BrokenPromise(`${text} becomes ${again}`);
      },
    },
    {
      name: "answers of the verify worker",
      make: (random) => mutateJson(random, VERDICTS),
      decode: (input) => {
        const message: unknown = parsed(input);
        if ((message as { kind?: unknown } | null)?.kind === "verdict") return decodeVerdict(message);
        const { accepted } = decodeOciVerdict(message, REQUEST);
        for (const { entry } of accepted) if (REQUEST.trust[entry] === undefined) throw new BrokenPromise("nobody");
        return accepted;
      },
    },
  ];
}

/** The first check that accepts; the last refusal when none does. */
function refusals<T>(...checks: readonly (() => T)[]): T {
  let refusal: unknown;
  for (const check of checks) {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof SignatureRefused)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

function asRkt<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof SignatureRefused) throw new RktError("NOT_TRUSTED", error.message);
    throw error;
  }
}

function layerOf(input: Buffer): Extract<SignatureDocument, { kind: "cosign" }> {
  const { payload, annotations } = (parsed(input) ?? {}) as { payload?: unknown; annotations?: unknown };
  const values = typeof annotations === "object" && annotations !== null ? annotations : {};
  const annotation = (name: string) => {
    const value = (values as Record<string, unknown>)[name];
    return typeof value === "string" ? value : undefined;
  };
  return {
    kind: "cosign",
    content: Buffer.from(typeof payload === "string" ? payload : ""),
    signature: annotation("dev.cosignproject.cosign/signature") ?? "",
    certificate: annotation("dev.sigstore.cosign/certificate"),
    chain: annotation("dev.sigstore.cosign/chain"),
    logEntry: annotation("dev.sigstore.cosign/bundle"),
    timestamp: annotation("dev.sigstore.cosign/rfc3161timestamp"),
  };
}

function parsed(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString("utf8"));
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "no JSON", { cause });
  }
}

const SETS: readonly Json[] = [
  {
    documents: [
      { kind: "bundle", content: "e30=" },
      { kind: "simple", content: "AAAA" },
      {
        kind: "cosign",
        content: "e30=",
        signature: "AAAA",
        certificate: "x",
        chain: "y",
        logEntry: "{}",
        timestamp: "AAAA",
      },
    ],
    indexes: ["e30="],
    searched: ["the tag x"],
  },
];

const VERDICTS: readonly Json[] = [
  { kind: "verdict", sha512: "00", good: [{ fingerprint: "a".repeat(40), userId: "x" }], problems: ["bad"] },
  { kind: "oci-verdict", accepted: [{ entry: 0, signer: "dev@example.com" }], problems: ["none"] },
  { kind: "failure", code: "HOST_PROGRAM", message: "x", hint: "y" },
];

const REQUEST: VerifyOciRequest = {
  kind: "verify-oci",
  digest: "sha256:00",
  signatures: "",
  trust: [{ signer: { kind: "key", der: "" }, names: { rule: "below", prefixes: ["x"] } }],
};
