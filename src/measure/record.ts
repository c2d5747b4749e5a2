/**
 * One record of the log: the TCG's Canonical Event Log (version 1.0) in its JSON encoding, one after the other as a JSON text sequence (RFC 7464), which is how systemd
 * keeps its own log of userspace measurements. A record separator before and a line feed behind each: one that was cut off while it was written is recognised.
 */

import { complaint, field, items, optionalInteger, type Place, readDocument, text } from "../spec/document.ts";
import { jsonText, ordered, type Writable } from "../spec/json-text.ts";
import { BANKS, type Bank, type BankValues, isBankValue } from "./banks.ts";

export interface LogRecord {
  /** Counts from 0 in each boot. */
  readonly number: number;
  readonly pcr: number;
  /** What the register was extended with: the digest of `text` in each bank. */
  readonly digests: BankValues;
  readonly text: string;
  /** What the register held before. */
  readonly before: BankValues;
  /** Microseconds since the epoch. Of no weight: the TPM does not cover it. */
  readonly time: number;
}

/** Type of content that the specification leaves to whoever measures. */
const CONTENT_TYPE = "rkt";

export const RECORD_START = 0x1e;
export const RECORD_END = 0x0a;

export function formatRecord(record: LogRecord): Buffer {
  const json = Buffer.from(jsonText(recordJson(record)), "utf8");
  return Buffer.concat([Buffer.from([RECORD_START]), json, Buffer.from([RECORD_END])]);
}

export function recordJson(record: LogRecord): Writable {
  return ordered(
    ["recnum", record.number],
    ["pcr", record.pcr],
    ["digests", valuesJson(record.digests)],
    ["content_type", CONTENT_TYPE],
    ["content", ordered(["string", record.text], ["timestamp", record.time], ["register", valuesJson(record.before)])],
  );
}

function valuesJson(values: BankValues): Writable {
  return [...values].map(([bank, value]) => ordered(["hashAlg", bank], ["digest", value]));
}

/** A record between its marks. Throws INVALID_INPUT. */
export function parseRecord(json: string): LogRecord {
  return decodeRecord(readDocument(json, "a record of the measurement log"));
}

export function decodeRecord(place: Place): LogRecord {
  const type = field(place, "content_type");
  if (text(type) !== CONTENT_TYPE) throw complaint(type, `expected "${CONTENT_TYPE}"`);
  const content = field(place, "content");
  const digests = values(field(place, "digests"));
  const before = values(field(content, "register"));
  if ([...digests.keys()].join() !== [...before.keys()].join())
    throw complaint(field(place, "digests"), "expected the same banks as the register's");
  return {
    number: integer(field(place, "recnum")),
    pcr: integer(field(place, "pcr"), 31),
    digests,
    text: text(field(content, "string")),
    before,
    time: integer(field(content, "timestamp")),
  };
}

function values(place: Place): BankValues {
  const found = new Map<Bank, string>();
  for (const item of items(place)) {
    const name = field(item, "hashAlg");
    const bank = BANKS.find((one) => one === text(name));
    if (bank === undefined) throw complaint(name, `expected ${BANKS.join(", ")}`);
    if (found.has(bank)) throw complaint(name, "stands there twice");
    const digest = field(item, "digest");
    if (!isBankValue(bank, text(digest))) throw complaint(digest, `expected a ${bank} digest in hexadecimal`);
    found.set(bank, text(digest));
  }
  if (found.size === 0) throw complaint(place, "expected at least one");
  return new Map(BANKS.flatMap((bank) => (found.has(bank) ? [[bank, found.get(bank) ?? ""]] : [])));
}

function integer(place: Place, max = Number.MAX_SAFE_INTEGER): number {
  const value = optionalInteger(place, 0, max);
  if (value === undefined) throw complaint(place, "is missing");
  return value;
}
