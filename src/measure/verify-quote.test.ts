/** A quote that swtpm has signed (tests/hostile/corpus/tpm), judged as by a verifier without a TPM. */

import { describe, expect, test } from "bun:test";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAttest, parseSignature } from "./attest.ts";
import { parseQuotePolicy } from "./policy.ts";
import { formatQuote, parseNonce, parseQuote, type Quote } from "./quote.ts";
import { parseAttestationKey, verifyQuote } from "./verify-quote.ts";

const CORPUS = join(import.meta.dir, "../../tests/hostile/corpus/tpm");
const text = readFileSync(join(CORPUS, "quote.json"), "utf8");
const quote = parseQuote(text);
const pem = readFileSync(join(CORPUS, "key.pem"), "utf8");
const NONCE = "00112233445566778899aabbccddeeff";
const [, pod] = quote.log.map(({ text: event }) => (event.startsWith("{") ? JSON.parse(event) : {}));
const policy = (fields: object) => parseQuotePolicy(JSON.stringify({ version: 1, ...fields }));
const PERMISSIVE = {
  images: [{ digest: pod.apps[0].digest, signer: "unsigned" }],
  stage1: [{ name: "coreos.com/rkt/*", signer: "part of rkt" }],
};

const reasons = (given: { quote?: Quote; key?: string; nonce?: string; policy?: object }) =>
  verifyQuote(
    given.quote ?? quote,
    parseAttestationKey(given.key ?? pem),
    parseNonce(given.nonce ?? NONCE),
    policy(given.policy ?? PERMISSIVE),
  ).reasons;

describe("verifyQuote()", () => {
  test("accepts what the policy allows", () => {
    expect(reasons({})).toEqual([]);
    expect(reasons({ policy: { ...PERMISSIVE, images: [{ id: pod.apps[0].id }] } })).toEqual([]);
    const { proven } = verifyQuote(quote, parseAttestationKey(pem), parseNonce(NONCE), policy(PERMISSIVE));
    expect(proven?.clock.resetCount).toBeGreaterThan(0);
    expect(proven?.log.steps.map(({ event }) => event?.kind)).toEqual(["boot", "pod", "rkt1"]);
  });

  test("refuses another key, another nonce, another register", () => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const other = publicKey.export({ type: "spki", format: "pem" }).toString();
    expect(reasons({ key: other })).toEqual(["the quote is not signed by the given key"]);
    expect(reasons({ nonce: "ff".repeat(16) })).toEqual(["the quote was made for another nonce: it may be an old one"]);
    expect(reasons({ quote: { ...quote, pcr: 14 } })).toEqual(["the quote is not about PCR 14 in the bank sha256"]);
  });

  test("refuses what the TPM has not signed", () => {
    const attest = Buffer.from(quote.attest);
    attest[attest.length - 1] = (attest.at(-1) ?? 0) ^ 1;
    expect(reasons({ quote: { ...quote, attest } })).toEqual(["the quote is not signed by the given key"]);
  });

  test("refuses a log that does not lead to the register", () => {
    const unled = "the log does not lead to what the register holds";
    expect(reasons({ quote: { ...quote, log: quote.log.slice(0, -1) } })).toEqual([unled]);
    expect(reasons({ quote: { ...quote, log: [] } })).toEqual(["the log is empty"]);
    expect(reasons({ quote: { ...quote, log: quote.log.slice(1) } })).toContain(
      "record 1: expected the first record of a boot",
    );
    const log = quote.log.map((record) => ({ ...record, text: record.text.replace("unsigned", "openpgp:1") }));
    expect(reasons({ quote: { ...quote, log } })).toContain("record 1: its digests are not of its text");
  });

  test("refuses what the policy does not allow, all of it", () => {
    expect(reasons({ policy: {} })).toEqual([
      expect.stringMatching(/^record 1: the image of app web, sha256:\S+ \(unsigned\) is not allowed$/),
      expect.stringMatching(/^record 1: the stage1 coreos.com\/rkt\/stage1-fly \S+ \(part of rkt\) is not allowed$/),
    ]);
    const refused = (fields: object, count = 1) => {
      expect(reasons({ policy: { ...PERMISSIVE, ...fields } })).toHaveLength(count);
    };
    refused({ images: [{ digest: `sha256:${"0".repeat(64)}` }] });
    refused({ images: [{ digest: pod.apps[0].digest, signer: "openpgp:1" }] });
    refused({ images: [{ digest: pod.apps[0].digest, name: "example.com/app" }] });
    refused({ stage1: [{ name: "coreos.com/rk/*", signer: "part of rkt" }] });
    refused({ "refuse-arguments": ["--net="] });
    refused({ start: ["ab".repeat(32)] });
    refused({ start: [] });
  });
});

describe("parseQuotePolicy()", () => {
  test.each([
    [{ images: [{}] }, "images[0]: expected an id, a digest or a signer"],
    [{ images: [{ name: "example.com/app" }] }, "images[0]: expected an id, a digest or a signer"],
    [{ images: [{ id: "sha512-63293783" }] }, "images[0].id: expected an image's whole id"],
    [{ images: [{ digest: "sha256:ab" }] }, "images[0].digest: expected the whole digest"],
    [{ images: [{ signer: "" }] }, "images[0].signer: must not be empty"],
    [{ images: [{ signr: "x" }] }, "unknown field"],
    [{ image: [] }, "unknown field, expected version, images, stage1, start, refuse-arguments"],
    [{ version: 2 }, "version: expected 1"],
    [{ start: ["00"] }, "start[0]: expected a SHA-256 value"],
  ])("refuses %j", (fields, complaint) => {
    expect(() => policy(fields)).toThrow(complaint);
  });
});

describe("the quote's file", () => {
  test("is written as it was read", () => expect(JSON.parse(formatQuote(quote))).toEqual(JSON.parse(text)));

  test("and its structures are refused in other forms", () => {
    for (let end = 0; end < quote.attest.length; end += 1)
      expect(() => parseAttest(quote.attest.subarray(0, end))).toThrow("Cannot read what the TPM has signed");
    expect(() => parseAttest(Buffer.concat([quote.attest, Buffer.alloc(1)]))).toThrow("more follows");
    expect(() => parseAttest(Buffer.from([0xfe, ...quote.attest.subarray(1)]))).toThrow("it is no quote");
    expect(() => parseSignature(quote.signature.subarray(1))).toThrow("Cannot read the signature");
    const json = JSON.parse(text);
    expect(() => parseQuote(JSON.stringify({ ...json, attest: `${json.attest} ` }))).toThrow("in base64");
    expect(() => parseQuote(JSON.stringify({ ...json, kind: "quote" }))).toThrow('kind: expected "rkt/quote"');
  });

  test("takes no key of another kind", () => {
    const { publicKey } = generateKeyPairSync("ed25519");
    const other = createPublicKey(publicKey.export({ type: "spki", format: "pem" })).export({
      ...{ type: "spki", format: "pem" },
    } as const);
    expect(() => parseAttestationKey(other.toString())).toThrow("expected one of the curve P-256");
    expect(() => parseAttestationKey("no key")).toThrow("expected a public key in PEM form");
    expect(() => parseNonce("00")).toThrow("8 to 32 bytes");
  });
});
