import { expect, test } from "bun:test";
import { ipVersion } from "./ip-address.ts";

test("ipVersion() knows both kinds and nothing else", () => {
  for (const good of ["0.0.0.0", "127.0.0.1", "255.255.255.255"]) expect(ipVersion(good)).toBe(4);
  for (const good of ["::", "::1", "fe80::1", "2001:db8::192.0.2.1"]) expect(ipVersion(good)).toBe(6);
  for (const bad of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "host", ":::", "1::2::3", "fe80::1%eth0", "::1]"]) expect(ipVersion(bad)).toBe(0);
});
