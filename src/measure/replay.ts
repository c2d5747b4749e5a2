/**
 * The log against the register: does what was recorded explain what the TPM holds? Pure.
 *
 * A record is written before its extension, so a kill in between leaves one record at the end whose extension is missing, and nothing else: that is "interrupted", and told
 * apart from every change of the log, which leaves the register unexplained. Of a record that was added at the end by hand it cannot be told apart; it only adds to what may
 * have run.
 */

import { type BankValues, digestsOf, extended, sameValues } from "./banks.ts";
import { eventOrUndefined, type MeasuredEvent } from "./event.ts";
import type { LogRecord } from "./record.ts";

export interface Replayed {
  /** Each record with the register's value after it. */
  readonly steps: readonly Step[];
  /** What is wrong in the log by itself, the first first. */
  readonly faults: readonly string[];
}

export interface Step {
  readonly record: LogRecord;
  readonly event: MeasuredEvent | undefined;
  readonly after: BankValues;
}

export type Verdict =
  | { readonly kind: "explained" }
  /** The last record's extension has not happened: rkt was killed in between, or the TPM gave no answer. Nothing was started for it, unless the policy is best-effort. */
  | { readonly kind: "interrupted" }
  | { readonly kind: "unexplained"; readonly reasons: readonly string[] };

/** Follows the records from the value that the first one has found. */
export function replay(records: readonly LogRecord[]): Replayed {
  const steps: Step[] = [];
  const faults: string[] = [];
  let value: BankValues | undefined;
  records.forEach((record, index) => {
    const event = eventOrUndefined(record.text);
    const fault = (text: string) => faults.push(`record ${record.number}: ${text}`);
    if (record.number !== index) fault(`expected number ${index}: records are missing, or not in their order`);
    if (record.pcr !== records[0]?.pcr) fault(`is of another register (${record.pcr})`);
    if (event === undefined) fault("is no event that this rkt knows");
    if (index === 0 && event?.kind !== "boot") fault("expected the first record of a boot");
    if (index > 0 && event?.kind === "boot") fault("a boot in the middle of the log");
    if (!sameValues(record.digests, digestsOf(record.text, record.digests))) fault("its digests are not of its text");
    const found = event?.kind === "boot" || event?.kind === "found" ? event.register : undefined;
    if (event?.kind === "found") fault("somebody else had extended the register before it");
    else if (value !== undefined && !sameValues(record.before, value))
      fault("does not follow the record before it: a record was changed, removed, added or moved");
    const before: BankValues = found ?? value ?? record.before;
    if (found !== undefined && !sameValues(found, record.before)) fault("found another value than it says");
    value = extended(before, record.digests);
    steps.push({ record, event, after: value });
  });
  return { steps, faults };
}

/** `register`: what the TPM holds. */
export function judge({ steps, faults }: Replayed, register: BankValues): Verdict {
  const last = steps.at(-1);
  const reached = last !== undefined && sameValues(last.after, register);
  const before = steps.at(-2)?.after ?? last?.record.before;
  const interrupted = before !== undefined && sameValues(before, register);
  if (faults.length === 0 && reached) return { kind: "explained" };
  if (faults.length === 0 && interrupted) return { kind: "interrupted" };
  const reasons = reached || interrupted ? faults : [...faults, unreached(steps, register)];
  return { kind: "unexplained", reasons };
}

function unreached(steps: readonly Step[], register: BankValues): string {
  const [first] = steps;
  if (first === undefined) return "there is no log of this boot for the register";
  if (sameValues(first.record.before, register))
    return "the register holds what it held before the first record: the TPM was reset, or the log is of another TPM";
  const at = steps.findLastIndex(({ after }) => sameValues(after, register));
  if (at < 0)
    return "the register holds what the log does not lead to: it was extended by others, or the log was changed";
  return `the register holds what it held after record ${at}: the ${steps.length - 1 - at} records behind it were added, or the TPM was reset`;
}
