/** Times and sizes in the words of rkt's tables. */

import { readFileSync } from "node:fs";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const MONTH = 30 * DAY;
const YEAR = 12 * MONTH;

/** [below this many seconds, what to say, unit to divide by] */
const MAGNITUDES: readonly (readonly [number, string, number])[] = [
  [1, "now", 1],
  [2, "1 second %s", 1],
  [MINUTE, "%d seconds %s", 1],
  [2 * MINUTE, "1 minute %s", 1],
  [HOUR, "%d minutes %s", MINUTE],
  [2 * HOUR, "1 hour %s", 1],
  [DAY, "%d hours %s", HOUR],
  [2 * DAY, "1 day %s", 1],
  [WEEK, "%d days %s", DAY],
  [2 * WEEK, "1 week %s", 1],
  [MONTH, "%d weeks %s", WEEK],
  [2 * MONTH, "1 month %s", 1],
  [YEAR, "%d months %s", MONTH],
  [18 * MONTH, "1 year %s", 1],
  [2 * YEAR, "2 years %s", 1],
  [37 * YEAR, "%d years %s", YEAR],
];

/** "2 minutes ago", "now", "3 days from now". */
export function humanTime(then: Date, now: Date = new Date()): string {
  const difference = Math.floor(now.getTime() / 1000) - Math.floor(then.getTime() / 1000);
  const seconds = Math.abs(difference);
  const direction = then.getTime() > now.getTime() ? "from now" : "ago";
  const [, words, unit] = MAGNITUDES.find(([limit]) => seconds < limit) ?? [0, "a long while %s", 1];
  return words.replace("%d", String(Math.floor(seconds / unit))).replace("%s", direction);
}

/** "12MiB", "1.5KiB", "7B": IEC units, one decimal below ten. */
export function humanSize(bytes: number): string {
  if (bytes < 10) return `${bytes}B`;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const exponent = Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), units.length - 1);
  const value = Math.floor((bytes / 1024 ** exponent) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)}${units[exponent]}`;
}

/** Go's layout "2006-01-02 15:04:05.999 -0700 MST", local time. `nanoseconds` since the epoch, or a Date. */
export function goTime(time: Date | bigint): string {
  const date = typeof time === "bigint" ? new Date(Number(time / 1_000_000n)) : time;
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  // ".999" drops zeros at the end, and the point with the last of them.
  const fraction = String(date.getMilliseconds()).padStart(3, "0").replace(/0+$/, "");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  return `${day} ${clock}${fraction === "" ? "" : `.${fraction}`} ${zone} ${zoneName(date, offset) ?? zone}`;
}

/** The zone's abbreviation ("CET") from the host's time zone file (tzfile(5)); undefined when the file has none for this offset. */
function zoneName(date: Date, offsetMinutes: number): string | undefined {
  if (process.env.TZ === "" || process.env.TZ === "UTC") return "UTC";
  const zone = zoneFile();
  if (zone === undefined) return offsetMinutes === 0 ? "UTC" : undefined;
  const names = tolerant(zone).filter(({ seconds }) => seconds === offsetMinutes * 60);
  // Several names for one offset (a zone's history): the one in force at that time.
  const inForce = names.findLast(({ from }) => from <= date.getTime() / 1000) ?? names.at(-1);
  return inForce === undefined || /^[+-]/.test(inForce.name) ? undefined : inForce.name;
}

/** A damaged zone file costs the name, not the command. */
function tolerant(zone: Buffer): ZoneType[] {
  try {
    return zoneTypes(zone);
  } catch {
    return [];
  }
}

interface ZoneType {
  name: string;
  seconds: number;
  from: number;
}

let zoneBytes: Buffer | undefined | null = null;

function zoneFile(): Buffer | undefined {
  if (zoneBytes !== null) return zoneBytes;
  const name = process.env.TZ?.replace(/^:/, "");
  // A relative name only: TZ must not make us read any file of the host.
  const path =
    name === undefined
      ? "/etc/localtime"
      : `/usr/share/zoneinfo/${name
          .split("/")
          .filter((part) => part !== "..")
          .join("/")}`;
  try {
    const bytes = readFileSync(path);
    zoneBytes = bytes.subarray(0, 4).toString("latin1") === "TZif" ? bytes : undefined;
  } catch {
    zoneBytes = undefined;
  }
  return zoneBytes;
}

/** Every transition of a version 2+ file in order of time, with the name and offset that it starts; a zone without transitions gives its only type. */
function zoneTypes(bytes: Buffer): ZoneType[] {
  const first = header(bytes, 0);
  const version2 = bytes[4] !== 0;
  const start = version2 ? 44 + bodyLength(first, 4) : 0;
  const { times, types, characters } = version2 ? header(bytes, start) : first;
  const size = version2 ? 8 : 4;
  const body = start + 44;
  const indexes = body + times * size;
  const infos = indexes + times;
  const names = infos + types * 6;
  const typeAt = (index: number, from: number): ZoneType => {
    const info = infos + index * 6;
    const nameStart = names + (bytes[info + 5] ?? 0);
    const nameEnd = bytes.indexOf(0, nameStart);
    const name = bytes.subarray(nameStart, Math.min(nameEnd, names + characters)).toString("latin1");
    return { name, seconds: bytes.readInt32BE(info), from };
  };
  const list: ZoneType[] = types > 0 ? [typeAt(0, Number.NEGATIVE_INFINITY)] : [];
  for (let index = 0; index < times; index++) {
    const at = body + index * size;
    const from = version2 ? Number(bytes.readBigInt64BE(at)) : bytes.readInt32BE(at);
    list.push(typeAt(bytes[indexes + index] ?? 0, from));
  }
  return list;
}

interface ZoneHeader {
  times: number;
  types: number;
  characters: number;
  leaps: number;
  standard: number;
  universal: number;
}

/** RFC 8536, section 3.1. */
function header(bytes: Buffer, start: number): ZoneHeader {
  const field = (index: number) => bytes.readUInt32BE(start + 20 + index * 4);
  return {
    universal: field(0),
    standard: field(1),
    leaps: field(2),
    times: field(3),
    types: field(4),
    characters: field(5),
  };
}

function bodyLength(counts: ZoneHeader, timeSize: number): number {
  return (
    counts.times * (timeSize + 1) +
    counts.types * 6 +
    counts.characters +
    counts.leaps * (timeSize + 4) +
    counts.standard +
    counts.universal
  );
}
