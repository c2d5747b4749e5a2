/**
 * measure: pods in the machine's TPM before they start (docs/measured-launch.md).
 * Takes events of stage0, gives records in a log and extensions of a register; and a quote over both, which a verifier elsewhere judges. Next: the pod starts.
 */

export { BANKS, type BankValues } from "./banks.ts";
export {
  eventOrUndefined,
  type MeasuredApp,
  type MeasuredEvent,
  type MeasuredImage,
  type PodEvent,
  rkt1Event,
} from "./event.ts";
export { currentBootId, logPath, readLog } from "./log.ts";
export { lookAtLog, type Measured, measure, withSettledLog } from "./measure.ts";
export { type LogRecord, recordJson } from "./record.ts";
export { judge, type Replayed, replay, type Verdict } from "./replay.ts";
export { readRegister } from "./tpm.ts";
