import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lookasideUrl } from "./lookaside.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-lookaside-"));
  mkdirSync(join(root, "containers/registries.d"), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (name: string, yaml: string) => writeFileSync(join(root, "containers/registries.d", name), yaml);

test("the longest scope decides, whichever file has it; both names of the field count", () => {
  write(
    "a.yaml",
    "default-docker:\n  lookaside: https://default.example/sigs/\ndocker:\n  reg.example:\n    lookaside: https://host.example\n",
  );
  write(
    "b.yaml",
    "docker:\n  reg.example/team:\n    sigstore: file:///srv/sigs\n  reg.example/team/app:1.0:\n    lookaside: https://tag.example\n",
  );
  write("c.txt", "docker: {reg.example/other: {lookaside: https://ignored.example}}");
  expect(lookasideUrl(root, "reg.example", "team/app", "1.0")).toBe("https://tag.example/team/app");
  expect(lookasideUrl(root, "reg.example", "team/app", "2.0")).toBe("file:///srv/sigs/team/app");
  expect(lookasideUrl(root, "reg.example", "other")).toBe("https://host.example/other");
  expect(lookasideUrl(root, "reg.example:5000", "other")).toBe("https://default.example/sigs/other");
});

test("without a word the host's directory", () => {
  expect(lookasideUrl(root, "reg.example", "team/app")).toBe("file:///var/lib/containers/sigstore/team/app");
});

test("files that cannot be used say which they are", () => {
  write("a.yaml", "docker:\n  reg.example:\n    lookaside: ftp://x\n");
  expect(() => lookasideUrl(root, "reg.example", "app")).toThrow("expected a file, http or https URL");
  for (const yaml of ["docker: [", "docker: 5\n"]) {
    write("a.yaml", yaml);
    expect(() => lookasideUrl(root, "reg.example", "app")).toThrow("a.yaml");
  }
});
