import { describe, expect, test } from "bun:test";
import { type InsecureOptions, parseInsecureOptions, SECURE } from "./insecure-options.ts";

/** Each word and exactly what it turns off (rkt 1.x). */
const MEANING: [words: string, off: (keyof InsecureOptions)[]][] = [
  ["none", []],
  ["image", ["image"]],
  ["tls", ["tls"]],
  ["ondisk", []],
  ["http", ["http"]],
  ["pubkey", ["pubkey"]],
  ["capabilities", ["capabilities"]],
  ["paths", ["paths"]],
  ["seccomp", ["seccomp"]],
  ["all-fetch", ["image", "tls", "http", "pubkey"]],
  ["all-run", ["capabilities", "paths", "seccomp"]],
  ["all", ["image", "tls", "http", "pubkey", "capabilities", "paths", "seccomp"]],
  ["Image,TLS", ["image", "tls"]],
  ["none,image", ["image"]],
  ["all-run,http", ["capabilities", "paths", "seccomp", "http"]],
];

describe("parseInsecureOptions", () => {
  test.each(MEANING)("%s", (words, off) => {
    expect(parseInsecureOptions(words)).toEqual({ ...SECURE, ...Object.fromEntries(off.map((name) => [name, true])) });
  });

  test.each([
    ["bogus", 'unknown option "bogus"'],
    ["", 'unknown option ""'],
    ["image,image", 'duplicated option "image"'],
    ["constructor", 'unknown option "constructor"'],
  ])("refuses %p", (words, message) => {
    expect(() => parseInsecureOptions(words)).toThrow(message);
  });
});
