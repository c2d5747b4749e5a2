import { describe, expect, test } from "bun:test";
import { proxiesFromEnvironment, proxyFor } from "./proxy.ts";

const settings = proxiesFromEnvironment({
  HTTPS_PROXY: "http://proxy:3128",
  http_proxy: "plain:8080",
  NO_PROXY: "example.com, .internal,10.0.0.0/8,host:5000,192.168.1.1",
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
});
