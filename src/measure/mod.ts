/**
 * measure: pods in the machine's TPM before they start (docs/measured-launch.md).
 * Takes events of stage0, gives records in a log and extensions of a register; and a quote over both, which a verifier elsewhere judges. Next: the pod starts.
 */

export type { TpmClock } from "./attest.ts";
export type { BankValues } from "./banks.ts";
export {
  eventOrUndefined,
  type MeasuredApp,
  type MeasuredEvent,
  type MeasuredImage,
  type PodEvent,
  rkt1Event,
} from "./event.ts";
export { logPath, readLog } from "./log.ts";
export { logPlace, lookAtLog, type Measured, measure } from "./measure.ts";
export { imageText, parseQuotePolicy, type QuotePolicy } from "./policy.ts";
export { formatQuote, makeQuote, parseNonce, parseQuote, publicKey, type Quote } from "./quote.ts";
export { type LogRecord, recordJson } from "./record.ts";
export type { Replayed, Verdict } from "./replay.ts";
export { parseAttestationKey, type VerifiedQuote, verifyQuote } from "./verify-quote.ts";
