import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { appcArch } from "../spec/appc/os-arch.ts";
import { formatImageReference, parseImageReference } from "./image-reference.ts";

let cwd = "";
beforeAll(() => {
  cwd = mkdtempSync("/tmp/rkt-reference-");
  writeFileSync(join(cwd, "plain"), "");
  writeFileSync(join(cwd, "with:colon"), "");
});
afterAll(() => rmSync(cwd, { recursive: true }));

const defaults = [
  { name: "os", value: "linux" },
  { name: "arch", value: appcArch() },
];

describe("parseImageReference", () => {
  const hex64 = "ab".repeat(32);
  test.each([
    ["sha512-abc", { kind: "hash", text: "sha512-abc" }],
    [`sha256:${hex64}`, { kind: "hash", text: `sha256:${hex64}` }],
    ["/a/b", { kind: "aci-file", path: "/a/b" }],
    ["file:///a/b%20c.aci", { kind: "aci-file", path: "/a/b c.aci" }],
    ["https://e.com/a.aci?x=1", { kind: "aci-url", url: "https://e.com/a.aci?x=1" }],
    ["example.com/app", { kind: "appc", name: "example.com/app", labels: defaults }],
    ["my-app:v1", { kind: "appc", name: "my-app", labels: [{ name: "version", value: "v1" }, ...defaults] }],
    [
      "e.com/a:1,os=freebsd,arch=amd64,x=y",
      {
        kind: "appc",
        name: "e.com/a",
        labels: [
          { name: "version", value: "1" },
          { name: "os", value: "freebsd" },
          { name: "arch", value: "amd64" },
          { name: "x", value: "y" },
        ],
      },
    ],
    [
      "cimd:appc:v=0:e.com/a?version=1%2B2&os=freebsd&arch=amd64",
      {
        kind: "appc",
        name: "e.com/a",
        labels: [
          { name: "version", value: "1+2" },
          { name: "os", value: "freebsd" },
          { name: "arch", value: "amd64" },
        ],
      },
    ],
    ["cimd:appc:v=0:e.com/a", { kind: "appc", name: "e.com/a", labels: defaults }],
    ["cimd:aci-archive:v=0:https%3A%2F%2Fe.com%2Fa.aci%3Fx%3D1", { kind: "aci-url", url: "https://e.com/a.aci?x=1" }],
    ["cimd:aci-archive:v=0:file%3A%2F%2F%2Fa%2Fb%2520c", { kind: "aci-file", path: "/a/b c" }],
    ["oci-archive:/x.tar", { kind: "oci-archive", path: "/x.tar", name: undefined }],
    ["docker-archive:/x.tar:busybox:1", { kind: "docker-archive", path: "/x.tar", name: "busybox:1" }],
  ])("%s", (text, expected) => {
    expect(parseImageReference(text, "/nowhere")).toEqual(expected as never);
  });

  test("relative paths start at the current directory", () => {
    expect(parseImageReference("./x", cwd)).toEqual({ kind: "aci-file", path: join(cwd, "x") });
    expect(parseImageReference("x.aci", cwd)).toEqual({ kind: "aci-file", path: join(cwd, "x.aci") });
    expect(parseImageReference("oci:d:v1", cwd)).toEqual({ kind: "oci-layout", path: join(cwd, "d"), name: "v1" });
  });

  test("a name that is too long for a file is a name", () => {
    const name = "x".repeat(5000);
    expect(parseImageReference(name, cwd)).toMatchObject({ kind: "appc", name });
  });

  test("an existing file wins over a name", () => {
    expect(parseImageReference("plain", cwd)).toEqual({ kind: "aci-file", path: join(cwd, "plain") });
    expect(parseImageReference("with:colon", cwd)).toEqual({ kind: "aci-file", path: join(cwd, "with:colon") });
  });

  test.each([
    ["docker://busybox", "registry-1.docker.io", "library/busybox", "latest", undefined],
    ["docker:busybox:1.36", "registry-1.docker.io", "library/busybox", "1.36", undefined],
    ["docker://docker.io/busybox", "registry-1.docker.io", "library/busybox", "latest", undefined],
    ["docker://a/b", "registry-1.docker.io", "a/b", "latest", undefined],
    ["docker://localhost/b", "localhost", "b", "latest", undefined],
    ["docker://localhost:5000/b:x", "localhost:5000", "b", "x", undefined],
    ["docker://[::1]:5000/b", "[::1]:5000", "b", "latest", undefined],
    ["docker://q.io/c/d:v1", "q.io", "c/d", "v1", undefined],
    [`docker://q.io/c/d@sha256:${hex64}`, "q.io", "c/d", undefined, { algorithm: "sha256", hex: hex64 }],
    [`docker://q.io/c/d:v1@sha256:${hex64}`, "q.io", "c/d", "v1", { algorithm: "sha256", hex: hex64 }],
  ])("%s", (text, registry, repository, tag, digest) => {
    expect(parseImageReference(text, "/")).toEqual({
      kind: "docker",
      registry,
      repository,
      tag,
      digest,
      text,
    } as never);
  });

  test.each([
    "",
    "a\0b",
    "https://e.com/a.tar",
    "https://u:p@e.com/a.aci",
    "file://host/a.aci",
    "docker://",
    "docker://Upper/case",
    "docker://a/../b",
    "docker://q.io/b:bad tag",
    "docker://q.io:99999/b",
    "docker://u@q.io/b",
    "docker://q.io/b@sha256:12",
    "a:b:c",
    "Name",
    "n,version",
    "n:1,version=2",
    "oci:",
    "oci:x:",
  ])("refuses %p", (text) => {
    expect(() => parseImageReference(text, "/nowhere")).toThrow(RktError);
  });

  test("a CIMD URI of a registry is that image, under its usual name", () => {
    const plain = parseImageReference("docker://q.io/c/d:v1", "/");
    expect(parseImageReference("cimd:docker:v=0:q.io/c/d:v1", "/")).toEqual(plain);
  });

  test.each([
    ["cimd:docker", "malformed distribution uri"],
    ["cimd:appc:v=0:", "malformed distribution uri"],
    ["cimd:appc:0:e.com/a", "malformed distribution version"],
    ["cimd:appc:v=1:e.com/a", "unsupported distribution version"],
    ["cimd:rpm:v=0:e.com/a", 'unknown distribution type: "rpm"'],
    ["cimd:appc:v=0:e.com/a?version=1,os=linux", "a label holds a comma"],
    ["cimd:aci-archive:v=0:ftp%3A%2F%2Fe.com%2Fa.aci", "invalid image string"],
    ["cimd:aci-archive:v=0:%zz", "malformed distribution uri"],
    ["cimd:aci-archive:v=0:https%3A%2F%2Fu%3Asecret%40e.com%2Fa.aci", "carries credentials"],
  ])("refuses %s", (text, reason) => {
    expect(() => parseImageReference(text, "/nowhere")).toThrow(reason);
  });

  test("never repeats a password", () => {
    expect(() => parseImageReference("https://u:secret@e.com/a.aci", "/")).not.toThrow("secret");
  });
});

test("formatImageReference", () => {
  const text = (reference: string) => formatImageReference(parseImageReference(reference, "/w"));
  expect(text("e.com/a:1,x=y")).toBe("e.com/a:1,x=y");
  expect(text("oci:d:t")).toBe("oci:/w/d:t");
  expect(text("https://e.com/a.aci?token=t")).toBe("https://e.com/a.aci?token=REDACTED");
});
