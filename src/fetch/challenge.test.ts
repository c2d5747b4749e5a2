import { describe, expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe("parseChallenges", () => {
  test("a registry's bearer challenge", () => {
    const header =
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"';
    expect(plain(header)).toEqual([
      [
        "bearer",
        { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" },
      ],
    ]);
  });
  test("several challenges in one header", () => {
    expect(plain('Basic realm="x, y", Bearer realm=https://t/, error=invalid_token')).toEqual([
      ["basic", { realm: "x, y" }],
      ["bearer", { realm: "https://t/", error: "invalid_token" }],
    ]);
  });
  test("quotes, blanks and capitals", () => {
    expect(plain('  BASIC Realm = "a\\"b" ,charset=UTF-8')).toEqual([["basic", { realm: 'a"b', charset: "UTF-8" }]]);
  });
  test("the first of equal parameters counts", () => {
    expect(plain("Bearer realm=a, realm=b")).toEqual([["bearer", { realm: "a" }]]);
  });
  test.each(["", ",,,", '"""', "=x", "\u0000"])("nonsense gives nothing: %p", (header) => {
    expect(plain(header)).toEqual([]);
  });
});
