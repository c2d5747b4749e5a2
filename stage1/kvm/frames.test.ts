import { describe, expect, test } from "bun:test";
import { exitStatus } from "./enter.ts";
import { frame, frameReader } from "./frames.ts";

function read(chunks: readonly Uint8Array[]): [string, string][] {
  const frames: [string, string][] = [];
  const take = frameReader((letter, data) => void frames.push([letter, data.toString("latin1")]));
  for (const chunk of chunks) take(Buffer.from(chunk));
  return frames;
}

describe("frames of a session", () => {
  const bytes = Buffer.concat([frame("O", "out"), frame("R", ""), frame("X", "42")]);
  const frames: [string, string][] = [
    ["O", "out"],
    ["R", ""],
    ["X", "42"],
  ];

  test("are read however they are cut", () => {
    expect(read([bytes])).toEqual(frames);
    expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(frames);
    for (let at = 1; at < bytes.length; at += 1)
      expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(frames);
  });

  test("garbage is at most a frame that waits for its end, of 64 KiB", () => {
    expect(read([Buffer.alloc(65_537, 0xff)])).toEqual([]);
    expect(read([Buffer.alloc(65_538, 0xff)])).toHaveLength(1);
  });

  test("one that is too long is not sent", () => {
    expect(() => frame("I", Buffer.alloc(65_536))).toThrow(RangeError);
  });
});

test.each([
  ["0", 0],
  ["137", 137],
  ["256", 254],
  ["-1", 254],
  ["", 254],
  ["NaN", 254],
  ["1e2", 254],
  ["0x10", 254],
])("a status that the guest tells as %p", (text, status) => {
  expect(exitStatus(text)).toBe(status);
});
