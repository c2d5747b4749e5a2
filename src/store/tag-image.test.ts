import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { imageIdFromSha512 } from "../core/digest.ts";
import type { ImageReference, StoredImage, Verification } from "../core/spine.ts";
import { linux } from "../host/mod.ts";
import { findImage, initDataDir, listTags, putImage, removeImage, tagImage, tagName, untagImage } from "./mod.ts";

let dataDir: DataDir;
beforeEach(() => {
  dataDir = new DataDir(mkdtempSync(join(tmpdir(), "rkt-tag-")));
  initDataDir(dataDir, linux);
});
afterEach(() => rmSync(dataDir.root, { recursive: true }));

const SIGNED: Verification = { kind: "openpgp", fingerprint: "8b86de38890ddb7291867b025210bd8888182190" };

function stored(content: string, verification: Verification = SIGNED): StoredImage {
  const digest = { algorithm: "sha512", hex: createHash("sha512").update(content).digest("hex") } as const;
  mkdirSync(dirname(dataDir.blob(digest)), { recursive: true });
  writeFileSync(dataDir.blob(digest), content);
  const download = {
    format: "aci",
    id: imageIdFromSha512(createHash("sha512").update(`tar of ${content}`).digest("hex")),
    archive: { digest, size: Buffer.byteLength(content), mediaType: "application/x-tar" },
    uncompressedSize: 1,
    signature: undefined,
    manifest: Buffer.from("{}"),
    name: "example.com/app",
    labels: [{ name: "arch", value: "amd64" }],
    origin: content,
  } as const;
  return putImage(dataDir, { download, verification }, []);
}

const docker = (tag: string): ImageReference => ({
  kind: "docker",
  registry: "r",
  repository: "a/b",
  tag,
  digest: undefined,
  text: `docker://r/a/b:${tag}`,
});
const appc = (name: string, version?: string, arch = "amd64"): ImageReference => ({
  kind: "appc",
  name,
  labels: [{ name: "arch", value: arch }, ...(version === undefined ? [] : [{ name: "version", value: version }])],
});
const found = (reference: ImageReference) => findImage(dataDir, reference)?.id;

/** As an unprivileged member of the group sees it: what root believes is not theirs (here: others may write there, so it is not believed). */
function asMember<T>(action: () => T): T {
  chmodSync(dataDir.verified, 0o770);
  try {
    return action();
  } finally {
    chmodSync(dataDir.verified, 0o700);
  }
}

test("an image answers to the names it was given, with its labels and its verdict", () => {
  const image = stored("one");
  for (const reference of [docker("v1"), appc("my.org/thing"), appc("my.org/thing", "v2")])
    tagImage(dataDir, image, tagName(reference) ?? "");
  expect(found(docker("v1"))).toBe(image.id);
  expect(found(appc("my.org/thing"))).toBe(image.id);
  expect(found(appc("my.org/thing", "v2"))).toBe(image.id);
  expect(found(appc("my.org/thing", "v3"))).toBeUndefined();
  expect(found(appc("my.org/thing", "v2", "arm64"))).toBeUndefined();
  expect(findImage(dataDir, docker("v1"))?.verification).toEqual(SIGNED);
  expect(listTags(dataDir).map(({ name }) => name)).toEqual(["docker://r/a/b:v1", "my.org/thing", "my.org/thing:v2"]);
});

test("a name moves to another image, is taken away, and goes with its image", () => {
  const [one, two] = [stored("one"), stored("two")];
  tagImage(dataDir, one, "docker://r/a/b:v1");
  tagImage(dataDir, two, "docker://r/a/b:v1");
  tagImage(dataDir, two, "my.org/thing");
  expect(found(docker("v1"))).toBe(two.id);
  untagImage(dataDir, "docker://r/a/b:v1");
  expect(found(docker("v1"))).toBeUndefined();
  expect(() => untagImage(dataDir, "docker://r/a/b:v1")).toThrow("no image was given it");
  removeImage(dataDir, two);
  expect(listTags(dataDir)).toEqual([]);
  expect(readdirSync(dataDir.verifiedRefs)).toEqual([]);
  expect(found(appc("example.com/app"))).toBe(one.id);
});

test("a member's name is for members: root neither follows nor lists it, and no verdict comes of it", () => {
  const [good, evil] = [stored("good"), stored("evil", { kind: "insecure" })];
  tagImage(dataDir, good, "docker://r/a/b:v1");
  asMember(() => tagImage(dataDir, evil, "docker://r/a/b:v1"));
  asMember(() => tagImage(dataDir, evil, "my.org/thing"));
  expect(asMember(() => found(docker("v1")))).toBe(evil.id);
  expect(found(docker("v1"))).toBe(good.id);
  expect(found(appc("my.org/thing"))).toBeUndefined();
  expect(listTags(dataDir).map(({ id }) => id)).toEqual([good.id]);
  expect(readFileSync(dataDir.imageRecord(evil.id), "utf8")).not.toContain("verification");
});

test("a record that says another name than its own is no name", () => {
  const image = stored("one");
  tagImage(dataDir, image, "my.org/thing");
  for (const directory of [dataDir.refs, dataDir.verifiedRefs])
    for (const file of readdirSync(directory)) {
      const path = join(directory, file);
      if (file.endsWith(".json")) writeFileSync(path, readFileSync(path, "utf8").replace("my.org", "our.org"));
    }
  expect(listTags(dataDir)).toEqual([]);
});

test("tagName: not for digests, files and URLs", () => {
  const digest = { algorithm: "sha256", hex: "0".repeat(64) } as const;
  expect(tagName({ ...docker("x"), digest } as ImageReference)).toBeUndefined();
  expect(tagName({ kind: "aci-url", url: "https://x/a.aci" })).toBeUndefined();
  expect(tagName({ kind: "aci-file", path: "/a" })).toBeUndefined();
});
