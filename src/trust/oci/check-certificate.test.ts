import { afterAll, describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  AUTHORITY,
  type Certified,
  certifiedLayer,
  certify,
  signerExtensions,
} from "../../../tests/harness/openssl-authority.ts";
import { cosignDocument, makeSigstore } from "../../../tests/harness/sigstore.ts";
import { temporaryDirectory } from "../../../tests/harness/temporary.ts";
import type { SignatureDocument } from "../../core/spine.ts";
import { encodeSignatureSet } from "../../spec/oci/signature-set.ts";
import { checkOci } from "./check-oci.ts";
import { pemContents } from "./pem.ts";
import type { SignerSpec, VerifyOciAnswer } from "./verify-messages.ts";

type Pki = Extract<SignerSpec, { kind: "pki" }>;

const dir = temporaryDirectory("pki");
afterAll(() => dir[Symbol.dispose]());

const DIGEST = `sha256:${"a".repeat(64)}`;
const NAME = "reg.example/team/app";
const MAIL = "dev@example.com";
const HOUR = 3_600_000;

const make = (...[name, issuer, details]: [string, Certified | undefined, Parameters<typeof certify>[3]?]) =>
  certify(dir.path, name, issuer, details);
const signer = (name: string, issuer: Certified, ...names: string[]) =>
  make(name, issuer, { extensions: signerExtensions(...names) });

const root = make("Root", undefined);
const issuing = make("Issuing", root);
const elsewhere = make("Elsewhere", undefined);
const dev = signer("dev", issuing, `email:${MAIL}`, "DNS:build.example.com", "DNS:*.fleet.example.com");

const signed = (by: Certified, chain: readonly Certified[] = [issuing, root], digest = DIGEST) =>
  cosignDocument(certifiedLayer(digest, NAME, by, chain));

function pki(roots: readonly Certified[], more: Partial<Pki> = { email: MAIL }): Pki {
  return { kind: "pki", roots: roots.flatMap(ders), intermediates: [], authority: "test", ...more };
}

function ders({ pem }: Certified): string[] {
  return pemContents(pem, "CERTIFICATE").map((der) => der.toString("base64"));
}

function check(document: SignatureDocument, spec: SignerSpec, digest = DIGEST): Promise<VerifyOciAnswer> {
  const signatures = encodeSignatureSet({ documents: [document], indexes: [], searched: [] });
  const image = { repository: NAME, tag: "1.0", digest: undefined };
  return checkOci({
    kind: "verify-oci",
    digest,
    signatures,
    trust: [{ signer: spec, names: { rule: "matchRepository", image } }],
  });
}

async function accepts(document: SignatureDocument, spec: SignerSpec = pki([root])): Promise<string | undefined> {
  const { accepted, problems } = await check(document, spec);
  expect(problems).toEqual([]);
  return accepted[0]?.signer;
}

async function refusal(document: SignatureDocument, spec: SignerSpec = pki([root])): Promise<string> {
  const { accepted, problems } = await check(document, spec);
  expect(accepted).toEqual([]);
  return problems[0] ?? "";
}

describe("the authority", () => {
  test("with the intermediate from the signature, or from the policy, which needs none there", async () => {
    expect(await accepts(signed(dev))).toBe(MAIL);
    expect(await accepts(signed(dev, [issuing]))).toBe(MAIL);
    expect(await accepts(signed(dev, []), pki([root], { email: MAIL, intermediates: ders(issuing) }))).toBe(MAIL);
    expect(await accepts(signed(dev), pki([elsewhere, root]))).toBe(MAIL);
    const direct = signer("direct", root, `email:${MAIL}`);
    expect(await accepts(signed(direct, []))).toBe(MAIL);
  });

  test("chains of any depth, in any order", async () => {
    const second = make("Second", issuing);
    const deep = signer("deep", second, `email:${MAIL}`);
    for (const chain of [
      [second, issuing, root],
      [root, issuing, second],
    ]) {
      expect(await accepts(signed(deep, chain))).toBe(MAIL);
    }
    expect(await refusal(signed(deep, [second, root]))).toContain("certificate chain");
  });

  test("RSA and P-384", async () => {
    const rsaRoot = make("RSA Root", undefined, { algorithm: ["rsa:2048"] });
    const p384 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    const extensions = signerExtensions(`email:${MAIL}`);
    const large = make("large", rsaRoot, { algorithm: p384, extensions });
    const rsa = make("rsa", rsaRoot, { algorithm: ["rsa:2048"], extensions });
    for (const by of [large, rsa]) expect(await accepts(signed(by, []), pki([rsaRoot]))).toBe(MAIL);
    const weak = make("weak", rsaRoot, { algorithm: ["rsa:1024"], extensions });
    expect(await refusal(signed(weak, []), pki([rsaRoot]))).toContain("RSA with 1024 bits");
  });

  test("another one, also with a name and key identifiers like ours", async () => {
    expect(await refusal(signed(dev), pki([elsewhere]))).toContain("certificate chain");
    const other = temporaryDirectory("pki-like");
    try {
      const like = certify(other.path, "Root", undefined);
      const mine = certify(other.path, "dev", like, { extensions: signerExtensions(`email:${MAIL}`) });
      expect(await refusal(signed(mine, [like]))).toContain("certificate chain");
      expect(await refusal(signed(mine, [like, root]))).toContain("certificate chain");
    } finally {
      other[Symbol.dispose]();
    }
    const selfSigned = make("self", undefined, { extensions: signerExtensions(`email:${MAIL}`) });
    expect(await refusal(signed(selfSigned, [selfSigned, root]))).toContain("certificate chain");
  });

  test("a signer's own certificate as the root", async () => {
    const alone = make("alone", undefined, { extensions: signerExtensions(`email:${MAIL}`) });
    expect(await accepts(signed(alone, []), pki([alone]))).toBe(MAIL);
    expect(await refusal(signed(alone, []), pki([alone], { email: "eve@example.com" }))).toContain("made by");
    expect(await refusal(signed(dev, [issuing]), pki([issuing]))).toContain("certificate chain");
  });

  test("an intermediate that is missing", async () => {
    expect(await refusal(signed(dev, []))).toContain("certificate chain");
    expect(await refusal(signed(dev, [root]))).toContain("certificate chain");
  });

  test("a signer's certificate does not make one an authority", async () => {
    const forged = signer("forged", dev, `email:${MAIL}`);
    expect(await refusal(signed(forged, [dev, issuing, root]))).toContain("certificate chain");
    const short = make("Short", root, {
      extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0", AUTHORITY[1] ?? ""],
    });
    const below = make("Below", short);
    expect(await refusal(signed(signer("far", below, `email:${MAIL}`), [below, short, root]))).toContain(
      "certificate chain",
    );
  });

  test("restrictions that are not understood refuse", async () => {
    const bound = make("Bound", root, {
      extensions: [...AUTHORITY, "nameConstraints=permitted;email:team.example.com"],
    });
    expect(await refusal(signed(signer("bound", bound, `email:${MAIL}`), [bound]))).toContain("certain names only");
    const odd = make("odd", issuing, {
      extensions: [...signerExtensions(`email:${MAIL}`), "1.2.3.4=critical,ASN1:UTF8String:x"],
    });
    expect(await refusal(signed(odd))).toContain("critical extension that is not known (1.2.3.4)");
  });
});

describe("the certificate", () => {
  const past = { from: new Date(Date.now() - 3 * HOUR), until: new Date(Date.now() - 2 * HOUR) };

  test("must be valid now, and so must every authority's", async () => {
    const extensions = signerExtensions(`email:${MAIL}`);
    const expired = make("expired", issuing, { ...past, extensions });
    expect(await refusal(signed(expired))).toContain("not valid or expired");
    const early = make("early", issuing, { from: new Date(Date.now() + HOUR), extensions });
    expect(await refusal(signed(early))).toContain("not valid or expired");
    const old = make("Old", root, past);
    expect(await refusal(signed(signer("late", old, `email:${MAIL}`), [old]))).toContain("certificate chain");
  });

  test("must be for signing code, where it says what it is for", async () => {
    const [basic = "", usage = ""] = signerExtensions();
    const using = (name: string, ...more: string[]) =>
      make(name, issuing, { extensions: [basic, usage, `subjectAltName=email:${MAIL}`, ...more] });
    expect(await accepts(signed(using("unsaid")))).toBe(MAIL);
    expect(await accepts(signed(using("anything", "extendedKeyUsage=anyExtendedKeyUsage")))).toBe(MAIL);
    expect(await refusal(signed(using("mailer", "extendedKeyUsage=emailProtection")))).toContain(
      "not for signing code",
    );
    const servers = make("Servers", root, { extensions: [...AUTHORITY, "extendedKeyUsage=serverAuth"] });
    expect(await refusal(signed(signer("by-servers", servers, `email:${MAIL}`), [servers]))).toContain(
      "not for signing code",
    );
  });

  test("must name the mail address exactly", async () => {
    for (const email of ["eve@example.com", "Dev@example.com", "dev@example.com.evil.example", "ev@example.com"]) {
      expect(await refusal(signed(dev), pki([root], { email }))).toStartWith(`it was made by "${MAIL}"`);
    }
    const byName = make(MAIL, issuing, { extensions: signerExtensions() });
    expect(await refusal(signed(byName))).toContain("somebody without a name");
    const asHost = signer("as-host", issuing, `DNS:${MAIL}`);
    expect(await refusal(signed(asHost))).toContain("it was made by");
  });

  test("must name the host, or all hosts of its domain", async () => {
    for (const hostname of ["build.example.com", "BUILD.example.com", "build.example.com.", "one.fleet.example.com"]) {
      expect(await accepts(signed(dev), pki([root], { hostname }))).toBe(hostname);
    }
    for (const hostname of [
      "example.com",
      "a.build.example.com",
      "fleet.example.com",
      "a.b.fleet.example.com",
      ".fleet.example.com",
    ]) {
      expect(await refusal(signed(dev), pki([root], { hostname }))).toContain('"build.example.com"');
    }
    expect(await accepts(signed(dev), pki([root], { email: MAIL, hostname: "build.example.com" }))).toBe(
      `${MAIL}, build.example.com`,
    );
    expect(await refusal(signed(dev), pki([root], { email: MAIL, hostname: "other.example" }))).toContain("made by");
    expect(await refusal(signed(dev), pki([root], { email: "eve@x.y", hostname: "build.example.com" }))).toContain(
      MAIL,
    );
    expect(await refusal(signed(dev), pki([root], {}))).toContain("made by");
  });
});

describe("the signature", () => {
  test("must be of the certificate's key, over this image", async () => {
    const good = signed(dev) as Extract<SignatureDocument, { kind: "cosign" }>;
    const other = signed(signer("second-dev", issuing, `email:${MAIL}`)) as typeof good;
    expect(await refusal({ ...other, certificate: good.certificate })).toContain("its certificate did not make it");
    expect(await refusal({ ...good, content: Buffer.from(String(good.content).replace("app", "bad")) })).toContain(
      "did not make it",
    );
    expect(await refusal(signed(dev, [issuing], `sha256:${"b".repeat(64)}`))).toContain("it is for another image");
    expect(await refusal({ ...good, certificate: undefined })).toContain("with a bare key");
  });

  test("counts by the key as well, where that is trusted", async () => {
    const keyOf = ({ key }: Certified): SignerSpec => {
      const der = createPublicKey(readFileSync(key)).export({ type: "spki", format: "der" });
      return { kind: "key", der: der.toString("base64") };
    };
    expect(await accepts(signed(dev), keyOf(dev))).toMatch(/^[0-9a-f]{64}$/);
    expect(await refusal(signed(dev), keyOf(root))).toContain("with a certificate, and only keys");
    const logged = { ...keyOf(dev), trustedRoot: makeSigstore().trustedRoot } as SignerSpec;
    expect(await refusal(signed(dev), logged)).toContain("with a certificate, and only keys");
  });

  test("nonsense in its certificates is no way around", async () => {
    const good = signed(dev, [issuing]) as Extract<SignatureDocument, { kind: "cosign" }>;
    const pemOf = (bytes: Uint8Array) =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString("base64")}\n-----END CERTIFICATE-----\n`;
    const [leaf = Buffer.alloc(0)] = pemContents(dev.pem, "CERTIFICATE");
    for (const nonsense of [pemOf(Buffer.from([0])), pemOf(Buffer.from([0x30, 0])), pemOf(leaf.subarray(0, 100))]) {
      expect(await refusal({ ...good, certificate: nonsense })).toContain("it does not hold");
      expect(await refusal({ ...good, chain: nonsense })).toContain("it does not hold");
    }
    // What the authority signed: from the inner sequence (30 82, two bytes of length) to its end.
    const end = 8 + leaf.readUInt16BE(6);
    for (let at = 4; at < end; at += 7) {
      const changed = Buffer.from(leaf);
      changed[at] = (changed[at] ?? 0) ^ 0x41;
      const { accepted } = await check({ ...good, certificate: pemOf(changed) }, pki([root]));
      expect([at, accepted]).toEqual([at, []]);
    }
    const many = Array.from({ length: 20 }, () => elsewhere);
    expect(await refusal(signed(dev, [...many, issuing]))).toContain("certificate chain");
  });
});
