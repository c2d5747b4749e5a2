import { describe, expect, test } from "bun:test";
import { parseNetList } from "./net-list.ts";

describe("parseNetList", () => {
  test("takes names with arguments, in order", () => {
    const list = parseNetList("default,a:IP=10.1.2.3;MAC=02:00:00:00:00:01,b");
    expect(list.names).toEqual(["default", "a", "b"]);
    expect(list.args("a")).toBe("IP=10.1.2.3;MAC=02:00:00:00:00:01");
    expect(list.args("b")).toBe("");
    expect([list.all, list.host, list.none]).toEqual([false, false, false]);
  });

  test("takes an IPv6 address as an argument", () => {
    expect(parseNetList("a:IP=fd00::5").args("a")).toBe("IP=fd00::5");
  });

  test("knows the special names", () => {
    expect(parseNetList("host").host).toBe(true);
    expect(parseNetList("none").none).toBe(true);
    expect(parseNetList("all").all).toBe(true);
  });

  test.each([
    ["", "netname must not be empty"],
    ["a,,b", "netname must not be empty"],
    [":IP=1.2.3.4", "netname must not be empty"],
    ["a,b,a", 'found duplicate netname "a"'],
    ["a:IP=10.0.0.1,a", 'found duplicate netname "a"'],
    ["all:IP=1.2.3.4", 'arguments are not supported by special netname "all"'],
    ["host:", 'arguments are not supported by special netname "host"'],
    ["none,default", 'Cannot use "none,default" for --net: "none" stands alone'],
    ["a,host", '"host" stands alone'],
    ["a:b", 'network "a" provided with invalid arguments: "b"'],
  ])("refuses %p", (text, message) => {
    expect(() => parseNetList(text)).toThrow(message);
  });
});
