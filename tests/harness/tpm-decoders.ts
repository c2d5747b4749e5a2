/** What a verifier is given of another machine's TPM, and what lies in a measurement log (examples in tests/hostile/corpus/tpm, of swtpm). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { parseAttest, parseSignature } from "../../src/measure/attest.ts";
import { parseLog } from "../../src/measure/log.ts";
import { parseQuotePolicy } from "../../src/measure/policy.ts";
import { formatQuote, parseNonce, parseQuote } from "../../src/measure/quote.ts";
import { replay } from "../../src/measure/replay.ts";
import { parseAttestationKey, verifyQuote } from "../../src/measure/verify-quote.ts";
import { BrokenPromise, type Decoder } from "./fuzz.ts";
import { type Json, mutateBytes, mutateJson } from "./mutate.ts";

const CORPUS = join(import.meta.dir, "../hostile/corpus/tpm");
const read = (name: string) => readFileSync(join(CORPUS, name), "utf8");

const POLICY: Json = {
  version: 1,
  images: [{ signer: "unsigned" }, { id: `sha512-${"a".repeat(64)}` }],
  stage1: [{ name: "coreos.com/rkt/*", signer: "part of rkt" }, { digest: `sha256:${"b".repeat(64)}` }],
  start: ["0".repeat(64)],
  "refuse-arguments": ["--disable-seccomp"],
};

export function tpmDecoders(): Decoder[] {
  const json: Json = JSON.parse(read("quote.json"));
  const quote = parseQuote(read("quote.json"));
  const texts = quote.log.map(({ text }) => text);
  const key = parseAttestationKey(read("key.pem"));
  const nonce = parseNonce("00112233445566778899aabbccddeeff");
  const policy = parseQuotePolicy(JSON.stringify(POLICY));
  return [
    {
      name: "quotes of a TPM",
      make: (random) => mutateJson(random, [json]),
      decode: (input) => {
        const given = parseQuote(input.toString("utf8"));
        if (formatQuote(parseQuote(formatQuote(given))) !== formatQuote(given)) throw new BrokenPromise("not stable");
        const [reason] = verifyQuote(given, key, nonce, policy).reasons;
        if (reason !== undefined) throw new RktError("NOT_TRUSTED", reason);
        // What was measured is as it was, whatever stands around it.
        if (!given.attest.equals(quote.attest)) throw new BrokenPromise("another attestation is accepted");
        if (given.log.map(({ text }) => text).join("\n") !== texts.join("\n"))
          throw new BrokenPromise("another log is accepted");
      },
    },
    {
      name: "attestations of a TPM",
      make: (random) => mutateBytes(random, [quote.attest]),
      decode: (input) => parseAttest(input),
    },
    {
      name: "signatures of a TPM",
      make: (random) => mutateBytes(random, [quote.signature]),
      decode: (input) => {
        if (parseSignature(input).length !== 64) throw new BrokenPromise("r and s of another length");
      },
    },
    {
      name: "policies for quotes",
      make: (random) => mutateJson(random, [POLICY]),
      decode: (input) => parseQuotePolicy(input.toString("utf8")),
    },
    {
      name: "measurement log",
      make: (random) => mutateBytes(random, [readFileSync(join(CORPUS, "log.cel"))]),
      decode: (input) => {
        const { records } = parseLog(input);
        if (replay(records).steps.length !== records.length) throw new BrokenPromise("a record was passed over");
      },
    },
  ];
}
