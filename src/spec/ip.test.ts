import { expect, test } from "bun:test";
import { isIP } from "node:net";
import { ipVersion } from "./ip.ts";

test.each(["1.2.3.4", "255.255.255.255", "::", "::1", "fe80::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "0.0.0.0"])(
  "%p is an address",
  (text) => {
    expect<number>(ipVersion(text)).toBe(isIP(text));
    expect(ipVersion(text)).not.toBe(0);
  },
);

test.each([
  "",
  "1.2.3",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.4/8",
  "a",
  ":",
  "1::2::3",
  "12345::",
  "fe80::1%eth0",
  "[::1]",
  "::1]/x",
])("%p is none", (text) => {
  expect(ipVersion(text)).toBe(0);
});
