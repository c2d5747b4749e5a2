/** What a server says about when to come back (RFC 9110, 10.2.3; Docker Hub's RateLimit headers), for the retry and for the operator. Pure. */

import { printable } from "../core/text.ts";

export interface WaitTime {
  /** Milliseconds that the server asks to wait; undefined when it does not say. */
  readonly retryAfter: number | undefined;
  /** For the error's text; "" when there is nothing to say. */
  readonly words: string;
}

/** `now`: milliseconds since the epoch. */
export function waitTime(status: number, headers: Headers, now: number): WaitTime {
  const retryAfter = milliseconds(headers.get("retry-after"), now);
  const limit = status === 429 ? limitWords(headers) : "";
  const wait = retryAfter === undefined ? "" : `it asks to wait ${duration(retryAfter)}`;
  const words = [status === 429 ? "too many requests" : "", limit, wait].filter((word) => word !== "").join(", ");
  return { retryAfter, words: status === 429 || retryAfter !== undefined ? words : "" };
}

/** "45 s", "12 min", "5 h 30 min": rounded up, so that whoever waits that long has waited enough. */
export function duration(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest === 0 ? "" : ` ${rest} min`}`;
}

/** Seconds or a date. */
function milliseconds(value: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  const wait = /^\d{1,6}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(wait) && wait >= 0 ? wait : undefined;
}

/** `RateLimit-Limit: 100;w=21600` → "100 requests in 6 h are allowed". */
function limitWords(headers: Headers): string {
  const match = /^(\d{1,9})(?:;w=(\d{1,9}))?$/.exec((headers.get("ratelimit-limit") ?? "").trim());
  if (match === null) return "";
  const window = match[2] === undefined ? "" : ` in ${duration(Number(match[2]) * 1000)}`;
  const source = headers.get("docker-ratelimit-source");
  return `${match[1]} requests${window} are allowed${source === null ? "" : ` for ${printable(source, 64)}`}`;
}
