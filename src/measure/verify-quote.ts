/** The verifier's side, without a TPM: signature, nonce, register, log, policy, in this order; what a step says is believed by the next. Pure. */

import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { RktError } from "../core/errors.ts";
import { ALG_SHA256, parseAttest, parseSignature, type TpmClock } from "./attest.ts";
import { type QuotePolicy, refusals } from "./policy.ts";
import type { Quote } from "./quote.ts";
import { type Replayed, replay } from "./replay.ts";

export interface VerifiedQuote {
  /** Empty: accepted. */
  readonly reasons: readonly string[];
  /** From here on only where signature, nonce and log hold. */
  readonly proven: { readonly clock: TpmClock; readonly log: Replayed } | undefined;
}

/** A public key in PEM form, as `rkt tpm key` prints it. Throws INVALID_INPUT. */
export function parseAttestationKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new RktError("INVALID_INPUT", "Cannot read the attestation key: expected a public key in PEM form");
  }
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  throw new RktError("INVALID_INPUT", "Cannot use the attestation key: expected one of the curve P-256");
}

/** Throws INVALID_INPUT when signature or attestation are not in the form that a TPM writes. */
export function verifyQuote(quote: Quote, key: KeyObject, nonce: Buffer, policy: QuotePolicy): VerifiedQuote {
  const refused = (...reasons: string[]): VerifiedQuote => ({ reasons, proven: undefined });
  const signature = parseSignature(quote.signature);
  if (!verify("sha256", quote.attest, { key, dsaEncoding: "ieee-p1363" }, signature))
    return refused("the quote is not signed by the given key");
  const attest = parseAttest(quote.attest);
  if (!attest.extraData.equals(nonce)) return refused("the quote was made for another nonce: it may be an old one");
  const [selection, ...others] = attest.selections;
  if (selection?.algorithm !== ALG_SHA256 || selection.pcrs.join() !== String(quote.pcr) || others.length > 0)
    return refused(`the quote is not about PCR ${quote.pcr} in the bank sha256`);
  const log = replay(quote.log);
  const last = log.steps.at(-1);
  if (last === undefined) return refused("the log is empty");
  const value = last.after.get("sha256");
  const faults = [
    ...log.faults,
    ...(last.record.pcr === quote.pcr ? [] : ["the log is of another register"]),
    ...(value !== undefined && digestOf(value).equals(attest.pcrDigest)
      ? []
      : ["the log does not lead to what the register holds"]),
  ];
  if (faults.length > 0) return refused(...faults);
  return { reasons: refusals(policy, log.steps), proven: { clock: attest.clock, log } };
}

/** Of one register: what the TPM signs is the hash of its value. */
function digestOf(value: string): Buffer {
  return createHash("sha256").update(Buffer.from(value, "hex")).digest();
}
