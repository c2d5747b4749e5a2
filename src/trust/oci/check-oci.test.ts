import { describe, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import {
  type BundleOptions,
  certificateWithKey,
  cosignDocument,
  cosignPayload,
  makeSigstore,
  publicPem,
  rawSign,
} from "../../../tests/harness/sigstore.ts";
import type { SignatureDocument } from "../../core/spine.ts";
import { encodeSignatureSet } from "../../spec/oci/signature-set.ts";
import { checkOci } from "./check-oci.ts";
import type { NameRule } from "./name-rule.ts";
import { pemContent } from "./pem.ts";
import type { SignerSpec, VerifyOciAnswer } from "./verify-messages.ts";

const sigstore = makeSigstore();
const elsewhere = makeSigstore();
const DIGEST = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;
const APP = { repository: "reg.example/team/app", tag: "1.0", digest: undefined };
const DEV = { identity: "dev@example.com", issuer: "https://issuer.example" };
const WORKFLOW = { identity: "https://forge.example/team/app/build.yml@refs/tags/v1", issuer: "https://ci.example" };
const SAME: NameRule = { rule: "same", image: APP };
const trusted: SignerSpec = { kind: "identity", ...DEV, trustedRoot: sigstore.trustedRoot };

const KEYS: Record<string, KeyObject> = {
  "ECDSA P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  "ECDSA P-384": generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey,
  RSA: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  Ed25519: generateKeyPairSync("ed25519").privateKey,
};
const p256 = KEYS["ECDSA P-256"] as KeyObject;

function keySpec(key: KeyObject): SignerSpec {
  return { kind: "key", der: (pemContent(publicPem(key), "PUBLIC KEY") ?? Buffer.alloc(0)).toString("base64") };
}

function bundle(value: object): SignatureDocument {
  return { kind: "bundle", content: Buffer.from(JSON.stringify(value)) };
}

async function check(
  documents: readonly SignatureDocument[],
  signer: SignerSpec = trusted,
  { names = SAME, indexes = [] as Uint8Array[], digest = DIGEST } = {},
): Promise<VerifyOciAnswer> {
  const signatures = encodeSignatureSet({ documents, indexes, searched: [] });
  return checkOci({ kind: "verify-oci", digest, signatures, trust: [{ signer, names }] });
}

async function refusal(document: SignatureDocument, signer?: SignerSpec, names?: NameRule): Promise<string> {
  const { accepted, problems } = await check([document], signer, names === undefined ? {} : { names });
  expect(accepted).toEqual([]);
  return problems[0] ?? "";
}

describe("keys", () => {
  for (const [name, key] of Object.entries(KEYS)) {
    test(`${name}: a bundle and a cosign layer`, async () => {
      const fingerprint = createHash("sha256")
        .update(pemContent(publicPem(key), "PUBLIC KEY") ?? "")
        .digest("hex");
      const documents = [
        bundle(sigstore.bundle(DIGEST, key, { log: false })),
        cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", key, { log: false })),
      ];
      for (const document of documents) {
        expect(await check([document], keySpec(key))).toEqual({
          kind: "oci-verdict",
          accepted: [{ entry: 0, signer: fingerprint }],
          problems: [],
        });
      }
    });
  }

  test("a signature of one kind of key is not one of another", async () => {
    for (const key of Object.values(KEYS)) {
      for (const other of Object.values(KEYS).filter((one) => one !== key)) {
        const document = cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", key, { log: false }));
        expect(await refusal(document, keySpec(other))).toBe("it was made by none of the trusted keys");
      }
    }
  });

  test("a certificate does not stand in for a key, nor a key for an identity", async () => {
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV)), keySpec(p256))).toContain("with a certificate");
    expect(await refusal(bundle(sigstore.bundle(DIGEST, p256)))).toContain("with a bare key");
  });

  test("SHA-1 and keys that are too weak", async () => {
    const rsa = KEYS.RSA as KeyObject;
    const payload = Buffer.from(JSON.stringify(cosignPayload(DIGEST, "reg.example/team/app")));
    const weak = {
      payload,
      annotations: { "dev.cosignproject.cosign/signature": sign("sha1", payload, rsa).toString("base64") },
    };
    expect(await refusal(cosignDocument(weak), keySpec(rsa))).toBe("it was made by none of the trusted keys");
    const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    const document = cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", short, { log: false }));
    expect(check([document], keySpec(short))).rejects.toThrow("RSA with 1024 bits");
  });

  test("a log is asked for where the policy names one", async () => {
    const spec = { ...keySpec(p256), trustedRoot: sigstore.trustedRoot } as SignerSpec;
    const logged = (options: BundleOptions) =>
      cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", p256, options));
    expect((await check([logged({})], spec)).accepted).toHaveLength(1);
    expect(await refusal(logged({ log: false }), spec)).toContain("expected 1 tlog entries, got 0");
    expect(await refusal(logged({ tamper: "promise" }), spec)).toContain("it does not hold");
  });
});

describe("identities", () => {
  const accepts = async (document: SignatureDocument, spec: SignerSpec) =>
    (await check([document], spec)).accepted[0]?.signer;

  test("exact, and by a regular expression that must match the whole", async () => {
    expect(await accepts(bundle(sigstore.bundle(DIGEST, DEV)), trusted)).toBe(DEV.identity);
    expect(await accepts(cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", DEV)), trusted)).toBe(
      DEV.identity,
    );
    const pattern = (identityRegexp: string, issuer = WORKFLOW.issuer): SignerSpec => ({
      kind: "identity",
      issuer,
      identityRegexp,
      trustedRoot: sigstore.trustedRoot,
    });
    const workflow = bundle(sigstore.bundle(DIGEST, WORKFLOW));
    expect(await accepts(workflow, pattern("https://forge\\.example/team/[^/]+/.*@refs/tags/.*"))).toBe(
      WORKFLOW.identity,
    );
    expect(await refusal(workflow, pattern("https://forge\\.example/team/"))).toContain("it was made by");
    expect(await refusal(workflow, pattern("team/app|x"))).toContain("it was made by");
    expect(await refusal(workflow, pattern(".*", "https://other.example"))).toContain('"https://ci.example" vouches');
  });

  test("another person, another issuer, another Sigstore", async () => {
    expect(await refusal(bundle(sigstore.bundle(DIGEST, { ...DEV, identity: "eve@example.com" })))).toBe(
      'it was made by "eve@example.com" (https://issuer.example)',
    );
    expect(await refusal(bundle(sigstore.bundle(DIGEST, { ...DEV, issuer: "https://evil.example" })))).toContain(
      '"https://evil.example" vouches',
    );
    expect(await refusal(bundle(elsewhere.bundle(DIGEST, DEV)))).toContain("Failed to verify certificate chain");
  });

  test("a certificate counts only for the time of the signature, and only for signing", async () => {
    const past = { notBefore: new Date(Date.now() - 3_000_000), notAfter: new Date(Date.now() - 2_400_000) };
    const expired = certificateWithKey(sigstore, { ...DEV, ...past });
    const during = new Date(Date.now() - 2_700_000);
    expect(await accepts(bundle(sigstore.bundle(DIGEST, DEV, { certificate: expired, time: during })), trusted)).toBe(
      DEV.identity,
    );
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { certificate: expired })))).toContain("expired");
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { certificate: expired, log: false })))).toContain(
      "expected 1 timestamps, got 0",
    );
    const server = certificateWithKey(sigstore, { ...DEV, usage: "1.3.6.1.5.5.7.3.1" });
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { certificate: server })))).toContain(
      "not for signing code",
    );
    const unlogged = certificateWithKey(sigstore, { ...DEV, sct: false });
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { certificate: unlogged })))).toContain(
      "expected 1 SCTs, got 0",
    );
  });

  test("several roots, each on a line: one of them must vouch for all of it", async () => {
    const ours = JSON.parse(sigstore.trustedRoot);
    const theirs = JSON.parse(elsewhere.trustedRoot);
    const lines = (...roots: object[]): SignerSpec => ({
      kind: "identity",
      ...DEV,
      trustedRoot: `${roots.map((root) => JSON.stringify(root)).join("\n")}\n`,
    });
    const signed = bundle(sigstore.bundle(DIGEST, DEV));
    expect(await accepts(signed, lines(theirs, ours))).toBe(DEV.identity);
    const authority = { ...theirs, certificateAuthorities: ours.certificateAuthorities };
    const logs = { ...theirs, tlogs: ours.tlogs, ctlogs: ours.ctlogs };
    expect(await refusal(signed, lines(authority, logs))).toContain("it does not hold");
    await expect(check([signed], lines(ours, {}))).rejects.toThrow("Cannot read the trusted root");
  });

  test("a root that knows no certificate log asks for none, and for everything else", async () => {
    const unlogged = { ...JSON.parse(sigstore.trustedRoot), ctlogs: [] };
    const spec: SignerSpec = { kind: "identity", ...DEV, trustedRoot: JSON.stringify(unlogged) };
    expect(await accepts(bundle(sigstore.bundle(DIGEST, DEV)), spec)).toBe(DEV.identity);
    expect(await refusal(bundle(elsewhere.bundle(DIGEST, DEV)), spec)).toContain("it does not hold");
    const foreign = { ...unlogged, certificateAuthorities: JSON.parse(elsewhere.trustedRoot).certificateAuthorities };
    const foreignSpec: SignerSpec = { ...spec, trustedRoot: JSON.stringify(foreign) };
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV)), foreignSpec)).toContain("certificate chain");
    const past = { notBefore: new Date(Date.now() - 3_000_000), notAfter: new Date(Date.now() - 2_400_000) };
    const expired = certificateWithKey(sigstore, { ...DEV, ...past });
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { certificate: expired })), spec)).toContain(
      "certificate chain",
    );
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { log: false })), spec)).toContain("0");
    expect(await refusal(bundle(sigstore.bundle(DIGEST, { ...DEV, identity: "eve@example.com" })), spec)).toContain(
      "eve@",
    );
    const noLogs = { ...unlogged, tlogs: [] };
    expect(
      await refusal(bundle(sigstore.bundle(DIGEST, DEV)), { ...spec, trustedRoot: JSON.stringify(noLogs) }),
    ).toContain("does not hold");
  });

  for (const tamper of ["proof", "promise", "checkpoint", "body", "other-log"] as const) {
    test(`a log entry with a wrong ${tamper}`, async () => {
      expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { tamper })))).toContain("it does not hold");
    });
  }

  test("a log entry of another signature", async () => {
    const good = sigstore.bundle(DIGEST, DEV) as { verificationMaterial: { tlogEntries: unknown } };
    const stolen = sigstore.bundle(OTHER, DEV) as { verificationMaterial: { tlogEntries: unknown } };
    stolen.verificationMaterial.tlogEntries = good.verificationMaterial.tlogEntries;
    expect(await refusal(bundle(stolen))).toContain("it does not hold");
  });
});

describe("what was signed", () => {
  test("another image", async () => {
    const expected = `it is for another image (${OTHER})`;
    expect(await refusal(bundle(sigstore.bundle(OTHER, DEV)))).toBe(expected);
    expect(
      await refusal(cosignDocument(sigstore.cosignLayer(OTHER, "reg.example/team/app", p256)), keySpec(p256)),
    ).toBe(expected);
  });

  test("an index that lists the image stands for it; one that does not, does not", async () => {
    const index = (digest: string) =>
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: "application/vnd.oci.image.index.v1+json",
          manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 10 }],
        }),
      );
    const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const signed = (bytes: Uint8Array) => [bundle(sigstore.bundle(digestOf(bytes), DEV))];
    const inner = index(DIGEST);
    const outer = index(digestOf(inner));
    expect((await check(signed(inner), trusted, { indexes: [inner] })).accepted).toHaveLength(1);
    expect((await check(signed(outer), trusted, { indexes: [outer, inner] })).accepted).toHaveLength(1);
    const stranger = index(OTHER);
    expect((await check(signed(stranger), trusted, { indexes: [stranger] })).accepted).toEqual([]);
    const nonsense = Buffer.from("{");
    expect((await check(signed(nonsense), trusted, { indexes: [nonsense] })).accepted).toEqual([]);
  });

  test("another image's name", async () => {
    const named = (name: string) => cosignDocument(sigstore.cosignLayer(DIGEST, name, p256));
    expect(await refusal(named("reg.example/team/other"), keySpec(p256))).toContain(
      'made for "reg.example/team/other"',
    );
    expect(await refusal(named("reg.example/team/app:2.0"), keySpec(p256))).toContain(
      'expected "reg.example/team/app:1.0"',
    );
    expect((await check([named("reg.example/team/app:1.0")], keySpec(p256))).accepted).toHaveLength(1);
    const policy: NameRule = { rule: "matchRepository", image: APP };
    expect(await refusal(bundle(sigstore.bundle(DIGEST, p256)), keySpec(p256), policy)).toContain("names no image");
  });

  test("words about an image that do not sign it", async () => {
    const scan = { predicateType: "https://cosign.sigstore.dev/attestation/vuln/v1" };
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, scan)))).toContain("does not sign it");
    expect(await refusal(bundle(sigstore.bundle(DIGEST, DEV, { payloadType: "text/plain" })))).toContain(
      '"text/plain"',
    );
    const provenance = { predicateType: "https://slsa.dev/provenance/v1" };
    expect((await check([bundle(sigstore.bundle(DIGEST, DEV, provenance))])).accepted).toHaveLength(1);
  });

  test("a payload that was changed", async () => {
    const good = sigstore.cosignLayer(DIGEST, "reg.example/team/other", p256);
    const changed = { ...good, payload: Buffer.from(String(good.payload).replace("team/other", "team/app")) };
    expect(await refusal(cosignDocument(changed), keySpec(p256))).toBe("it was made by none of the trusted keys");
    const envelope = sigstore.bundle(OTHER, DEV) as { dsseEnvelope: { payload: string } };
    const text = Buffer.from(envelope.dsseEnvelope.payload, "base64")
      .toString()
      .replaceAll("b".repeat(64), "a".repeat(64));
    envelope.dsseEnvelope.payload = Buffer.from(text).toString("base64");
    expect(await refusal(bundle(envelope))).toContain("it does not hold");
  });

  test("a signature over a file is none over an image", async () => {
    const payload = Buffer.from(JSON.stringify(cosignPayload(DIGEST, "reg.example/team/app")));
    const file = {
      mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
      verificationMaterial: { publicKey: { hint: "" }, tlogEntries: [] },
      messageSignature: {
        messageDigest: { algorithm: "SHA2_256", digest: createHash("sha256").update(payload).digest("base64") },
        signature: rawSign(payload, p256).toString("base64"),
      },
    };
    expect(await refusal(bundle(file), keySpec(p256))).toContain("it signs a file");
  });
});

describe("any change", () => {
  /** mulberry32: the same sequence for the same seed. */
  function random(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (state + 0x6d2b79f5) | 0;
      let value = Math.imul(state ^ (state >>> 15), 1 | state);
      value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
      return ((value ^ (value >>> 14)) >>> 0) % below;
    };
  }

  function mutated(content: Uint8Array, next: (below: number) => number): Buffer {
    const bytes = Buffer.from(content);
    for (let changes = 1 + next(3); changes > 0; changes--) {
      const at = next(bytes.length);
      const how = next(3);
      if (how === 0) bytes[at] = next(256);
      else if (how === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
      else bytes.copy(bytes, at, next(bytes.length));
    }
    return bytes;
  }

  /** Whatever is changed, the check ends in a verdict; and no change makes a signature of `signer` say another thing. */
  async function survives(
    seed: number,
    rounds: number,
    make: (next: (below: number) => number) => SignatureDocument,
    signer: SignerSpec,
  ) {
    const next = random(seed);
    for (let round = 0; round < rounds; round++) {
      const document = make(next);
      const { accepted } = await check([document], signer);
      if (accepted.length === 0) continue;
      const forOther = await check([document], signer, { digest: OTHER });
      expect([round, forOther.accepted]).toEqual([round, []]);
    }
  }

  const good = Buffer.from(JSON.stringify(sigstore.bundle(DIGEST, DEV)));
  const other = Buffer.from(JSON.stringify(sigstore.bundle(OTHER, DEV)));
  const mine = Buffer.from(JSON.stringify(sigstore.bundle(DIGEST, p256, { log: false })));
  const saved = sigstore.cosignLayer(DIGEST, "reg.example/team/app", DEV);

  test("of a bundle by an identity", () =>
    survives(1, 150, (next) => ({ kind: "bundle", content: mutated(good, next) }), trusted));
  test("of a bundle for another image", async () => {
    const next = random(4);
    for (let round = 0; round < 100; round++) {
      const { accepted } = await check([{ kind: "bundle", content: mutated(other, next) }]);
      expect([round, accepted]).toEqual([round, []]);
    }
  });
  test("of a bundle by a key", () =>
    survives(2, 600, (next) => ({ kind: "bundle", content: mutated(mine, next) }), keySpec(p256)));
  test("of a cosign layer", () => {
    const whole = cosignDocument(saved) as Extract<SignatureDocument, { kind: "cosign" }>;
    const parts = ["signature", "certificate", "logEntry"] as const;
    const make = (next: (below: number) => number): SignatureDocument => {
      if (next(4) === 0) return { ...whole, content: mutated(whole.content, next) };
      const part = parts[next(parts.length)] ?? "signature";
      return { ...whole, [part]: mutated(Buffer.from(whole[part] ?? ""), next).toString("latin1") };
    };
    return survives(3, 150, make, trusted);
  });
});

describe("documents that are none", () => {
  const good = sigstore.bundle(DIGEST, DEV);
  const broken: Record<string, string> = {
    empty: "",
    text: "hello",
    list: "[]",
    "deep list": "[".repeat(50_000),
    "no material": JSON.stringify({ ...good, verificationMaterial: undefined }),
    "no certificate": JSON.stringify({
      ...good,
      verificationMaterial: { certificate: { rawBytes: "AAAA" }, tlogEntries: [] },
    }),
    "a number for a list": JSON.stringify({ ...good, verificationMaterial: { certificate: 5, tlogEntries: 7 } }),
    "no envelope": JSON.stringify({ ...good, dsseEnvelope: undefined }),
    "two signatures": JSON.stringify({
      ...good,
      dsseEnvelope: { ...(good.dsseEnvelope as object), signatures: [{ sig: "AAAA" }, { sig: "AAAA" }] },
    }),
  };
  for (const [name, content] of Object.entries(broken)) {
    test(name, async () => {
      expect(await refusal({ kind: "bundle", content: Buffer.from(content) })).not.toBe("");
    });
  }

  test("a layer with nonsense for each of its parts", async () => {
    const whole = cosignDocument(sigstore.cosignLayer(DIGEST, "reg.example/team/app", DEV)) as Extract<
      SignatureDocument,
      { kind: "cosign" }
    >;
    for (const part of ["signature", "certificate", "logEntry", "timestamp"] as const) {
      for (const nonsense of [
        "",
        "{",
        "{}",
        "null",
        '{"Payload":{}}',
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
      ]) {
        if (part === "timestamp" && nonsense === "") continue;
        expect(await refusal({ ...whole, [part]: nonsense })).not.toBe("");
      }
    }
  });

  test("the others count all the same", async () => {
    const documents = [
      ...Object.values(broken).map((text) => ({ kind: "bundle", content: Buffer.from(text) }) as const),
      bundle(good),
    ];
    const { accepted, problems } = await check(documents);
    expect(accepted).toEqual([{ entry: 0, signer: DEV.identity }]);
    expect(problems.length).toBeGreaterThan(1);
  });

  test("too many, or too large", async () => {
    const many = Array.from({ length: 65 }, () => bundle({}));
    expect(check(many)).rejects.toThrow("at most 64 signatures");
    expect(check([{ kind: "bundle", content: Buffer.alloc(200_000, 0x20) }])).rejects.toThrow("at most 131072 bytes");
  });
});
