/** Extended headers of POSIX.1-2001 (pax(1), "pax Extended Header"): records "LENGTH KEY=VALUE\n" whose values are bytes. */

import type { Timestamp } from "../../host/host.ts";
import type { ByteString } from "./bytes.ts";
import { malformed } from "./header.ts";

export interface PaxRecord {
  key: ByteString;
  value: Buffer;
}

/** The records in order; a key may come more than once. Throws INVALID_INPUT. */
export function parsePaxRecords(bytes: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let start = 0; start < bytes.length; ) {
    const space = bytes.indexOf(0x20, start);
    const length = space < 0 || space - start > 10 ? Number.NaN : decimal(bytes.toString("latin1", start, space));
    const end = start + length;
    const equals = bytes.indexOf(0x3d, space);
    if (!(end <= bytes.length) || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) {
      // Some writers fill the rest of the block with NUL bytes and count them in.
      if (bytes[start] === 0 && bytes.subarray(start).every((byte) => byte === 0)) return records;
      throw malformed("an extended header record is malformed");
    }
    records.push({ key: bytes.toString("latin1", space + 1, equals), value: bytes.subarray(equals + 1, end - 1) });
    start = end;
  }
  return records;
}

/** A count or an id. Throws INVALID_INPUT. */
export function paxNumber(record: string, key: string): number {
  const value = decimal(record);
  if (!Number.isSafeInteger(value)) throw malformed(`extended header record "${key}" is not a number`);
  return value;
}

function decimal(text: string): number {
  return /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
}

/** Seconds with a fraction, before 1970 too ("-1.5" is 500,000,000 ns after second -2). Throws INVALID_INPUT. */
export function paxTime(text: string): Timestamp {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw malformed('extended header record "mtime" is not a time');
  const seconds = Number(match[2]);
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] !== "-") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}
