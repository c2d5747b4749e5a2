import { describe, expect, test } from "bun:test";
import {
  isAcIdentifier,
  isAcName,
  parseAcIdentifier,
  parseAcName,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from "./mod.ts";

describe("AC names", () => {
  test.each(["asdf", "foo-bar-baz", "database", "a", "0", "a--b"])("%p is one", (name) => {
    expect(isAcName(name)).toBe(true);
    expect(String(parseAcName(name))).toBe(name);
  });

  test.each(["", "foo#", "example.com", "EXAMPLE", "a/b", "a_b", "-app", "app-", ".", "..", "a\nb", "a ", "é"])(
    "%p is none",
    (name) => {
      expect(isAcName(name)).toBe(false);
      expect(() => parseAcName(name)).toThrow("ACName");
    },
  );

  test.each([
    ["foo#", "foo"],
    ["EXAMPLE.com", "example-com"],
    ["foo.com/BAR", "foo-com-bar"],
    ["example.com/app_1", "example-com-app-1"],
    ["-/.app..", "app"],
    ["-/app.name-test/-/", "app-name-test"],
    ["a😀b", "a-b"],
    ["volume/data/_x", "volume-data--x"],
  ])("%p is made %p", (from, to) => {
    expect(String(sanitizeAcName(from))).toBe(to);
  });

  test.each(["__", "..", "//", "", ".//-", "日本"])("nothing is left of %p", (from) => {
    expect(() => sanitizeAcName(from)).toThrow("must contain at least one valid character");
  });
});

describe("AC identifiers", () => {
  test.each(["asdf", "zab_rab_oof", "my~database", "example.com/~bob/database", "example.com/ourapp-1.0.0", "a/...b"])(
    "%p is one",
    (name) => {
      expect(isAcIdentifier(name)).toBe(true);
      expect(parseAcIdentifier(name)).toBe(name);
    },
  );

  test.each([
    "",
    "BAR",
    "foo#",
    "foo.com/BAR",
    "/app",
    "app/",
    "-app",
    "app.",
    "_app",
    "app~",
    "a:b",
    "a/../b",
    "a/./b",
  ])("%p is none", (name) => {
    expect(isAcIdentifier(name)).toBe(false);
    expect(() => parseAcIdentifier(name)).toThrow("ACIdentifier");
  });

  test.each([
    ["EXAMPLE.com", "example.com"],
    ["app///", "app"],
    ["-/app.name-test/-/", "app.name-test"],
    ["localhost:5000/my/App", "localhost_5000/my/app"],
    ["[::1]:5000/x", "1__5000/x"],
    ["a/../b", "a/_/b"],
    ["foo.com/a__b", "foo.com/a__b"],
  ])("%p is made %p", (from, to) => {
    expect(sanitizeAcIdentifier(from)).toBe(to);
    expect(isAcIdentifier(to)).toBe(true);
  });
});
