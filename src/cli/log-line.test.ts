import { expect, test } from "bun:test";
import { decodeEntry } from "./journal-lines.ts";
import { formatLine, rfc3339 } from "./log-line.ts";
import { readPointInTime } from "./point-in-time.ts";

const LINE = { app: "web", time: 1_769_860_800_000_001_000n, message: Buffer.from("a\tb\x1b[2J\u202e\u0085é") };
const PLAIN = { json: false, timestamps: false, apps: false, terminal: false };

test("bytes pass as they are, but not to a terminal", () => {
  expect(formatLine(LINE, PLAIN)).toEqual(Buffer.concat([LINE.message, Buffer.from("\n")]));
  const shown = formatLine(LINE, { ...PLAIN, terminal: true, apps: true, timestamps: true }).toString();
  expect(shown).toBe("2026-01-31T12:00:00.000001000Z web | a\tb\\x1b[2J\\x202e\\x85é\n");
});

test("JSON has one object a line, whatever the message is", () => {
  const text = formatLine(
    { ...LINE, message: Buffer.from('x\ny"') },
    { ...PLAIN, json: true, terminal: true },
  ).toString();
  expect(text.split("\n").length).toBe(2);
  expect(JSON.parse(text)).toEqual({ time: "2026-01-31T12:00:00.000001000Z", app: "web", message: 'x\ny"' });
});

test("journal entries: texts, bytes, several values, and what is none", () => {
  const entry = { _SYSTEMD_UNIT: "output@web.service", __REALTIME_TIMESTAMP: "1769860800000001", MESSAGE: [97, 255] };
  expect(decodeEntry(JSON.stringify(entry))).toEqual({ app: "web", time: LINE.time, message: Buffer.from([97, 255]) });
  expect(decodeEntry(JSON.stringify({ ...entry, MESSAGE: [[97], [98]] }))?.message.toString()).toBe("a");
  expect(decodeEntry(JSON.stringify({ ...entry, MESSAGE: null }))?.message.length).toBe(0);
  expect(decodeEntry(JSON.stringify({ ...entry, _SYSTEMD_UNIT: "../x.service" }))?.app).toBeUndefined();
  expect(decodeEntry(JSON.stringify({ MESSAGE: "x" }))?.time).toBeUndefined();
  for (const text of ["", "7", "null", "{", '"x"']) expect(decodeEntry(text)).toBeUndefined();
});

test("points in time", () => {
  const now = 1_000_000;
  expect(readPointInTime("since", "@12.5", now)).toBe(12.5);
  expect(readPointInTime("since", "10m", now)).toBe(1000 - 600);
  expect(readPointInTime("since", "2026-01-31T12:00:00Z", now)).toBe(1_769_860_800);
  expect(readPointInTime("since", "2026-01-31 13:00:00+01:00", now)).toBe(1_769_860_800);
  for (const text of ["", "yesterday", "10", "-5m", "2026-13-01", "@x"])
    expect(() => readPointInTime("since", text, now)).toThrow("--since");
});

test("times have nanoseconds", () => expect(rfc3339(1n)).toBe("1970-01-01T00:00:00.000000001Z"));
