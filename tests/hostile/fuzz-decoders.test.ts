/** Every decoder under damaged input: a small, always equal part of what `make soak` does at length. */

import { expect, test } from "bun:test";
import { RktError } from "../../src/core/errors.ts";
import { decoders } from "../harness/decoders.ts";
import { type Decoder, describeFinding, fuzz } from "../harness/fuzz.ts";

for (const decoder of decoders()) {
  test(`${decoder.name}: accepted or refused, never broken`, async () => {
    const result = await fuzz(decoder, 1, 2000);
    expect(result.findings.map(describeFinding)).toEqual([]);
    // Inputs that are all refused, or all accepted, would test nothing.
    expect(result.accepted).toBeGreaterThan(0);
    expect(result.accepted).toBeLessThan(result.executions);
  });
}

test("the fuzzer finds what is broken, and finds it again", async () => {
  const broken: Decoder = {
    name: "broken",
    make: (random) => Buffer.from([Math.floor(random() * 256)]),
    decode: ([byte = 0]) => {
      if (byte === 7) throw new TypeError("seven");
      if (byte > 100) throw new RktError("INVALID_INPUT", "large");
    },
  };
  const first = await fuzz(broken, 5, 3000);
  expect(first.findings.length).toBeGreaterThan(0);
  expect(first.findings.every(({ input }) => input[0] === 7)).toBe(true);
  const again = await fuzz(broken, 5, 3000);
  expect(again.findings.map(({ execution }) => execution)).toEqual(first.findings.map(({ execution }) => execution));
});
