import { describe, expect, test } from "bun:test";
import { proxiesFromEnvironment, proxyFor } from "./proxy.ts";

const settings = proxiesFromEnvironment({
  HTTPS_PROXY: "http://proxy:3128",
  http_proxy: "plain:8080",
  NO_PROXY:
    "example.com, .internal,10.0.0.0/8,host:5000,192.168.1.1,fd00::/8,2001:db8::1/128,*.star.org,[fe80::1]:8443",
});

describe("proxyFor", () => {
  test.each([
    ["https://e.org/", "http://proxy:3128"],
    ["http://e.org/", "http://plain:8080"],
    ["https://example.com/", undefined],
    ["https://a.example.com/", undefined],
    ["https://notexample.com/", "http://proxy:3128"],
    ["https://x.internal/", undefined],
    ["https://10.1.2.3/", undefined],
    ["https://11.1.2.3/", "http://proxy:3128"],
    ["https://host:5000/", undefined],
    ["https://host:5001/", "http://proxy:3128"],
    ["https://192.168.1.1/", undefined],
    ["https://192.168.1.10/", "http://proxy:3128"],
    ["https://[fd12::1]/", undefined],
    ["https://[fe12::1]/", "http://proxy:3128"],
    ["https://[2001:db8::1]/", undefined],
    ["https://[2001:db8::2]/", "http://proxy:3128"],
    ["https://[fe80::1]:8443/", undefined],
    ["https://[fe80::1]/", "http://proxy:3128"],
    ["https://a.star.org/", undefined],
    ["https://10.example.org/", "http://proxy:3128"],
    ["http://localhost:5000/", undefined],
    ["http://127.0.0.1:5000/", undefined],
    ["http://[::1]:5000/", undefined],
  ])("%s", (url, proxy) => {
    expect(proxyFor(new URL(url), settings)).toBe(proxy);
  });
  test("a star excepts everything, nothing excepts nothing", () => {
    expect(proxyFor(new URL("https://e.org"), { ...settings, none: "*" })).toBeUndefined();
    expect(proxyFor(new URL("https://e.org"), proxiesFromEnvironment({}))).toBeUndefined();
  });
  test("a proxy that cannot be used is refused without its password", () => {
    const message = (value: string) => {
      try {
        proxiesFromEnvironment({ HTTPS_PROXY: value });
      } catch (error) {
        return String(error);
      }
      return "";
    };
    expect(message("socks5://u:secret@proxy")).toContain("HTTPS_PROXY");
    expect(message("socks5://u:secret@proxy") + message("http://u:secret@:x")).not.toContain("secret");
  });
});
