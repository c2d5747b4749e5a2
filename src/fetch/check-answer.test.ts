import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { formatDigest, imageIdFromSha512, parseDigest } from "../core/digest.ts";
import type { BlobRef, ImageReference, OciDownload } from "../core/spine.ts";
import { checkAnswer } from "./check-answer.ts";

const platform = { os: "linux", architecture: "amd64" };
let dataDir: DataDir;
let honest: OciDownload;
let index: BlobRef;

function put(content: string | object, mediaType: string): BlobRef {
  const bytes = Buffer.from(typeof content === "string" ? content : JSON.stringify(content));
  const digest = parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
  const path = dataDir.blob(digest);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return { digest, size: bytes.length, mediaType };
}

const plain = ({ digest, size, mediaType }: BlobRef) => ({
  mediaType,
  digest: `${digest.algorithm}:${digest.hex}`,
  size,
});

beforeAll(() => {
  dataDir = new DataDir(mkdtempSync("/tmp/rkt-answer-"));
  const layer = put("layer", "application/vnd.oci.image.layer.v1.tar");
  const rootfs = { type: "layers", diff_ids: [plain(layer).digest] };
  const config = put({ ...platform, rootfs }, "application/vnd.oci.image.config.v1+json");
  const document = { schemaVersion: 2, config: plain(config), layers: [plain(layer)] };
  const manifest = put(document, "application/vnd.oci.image.manifest.v1+json");
  index = put(
    { schemaVersion: 2, manifests: [{ ...plain(manifest), platform }] },
    "application/vnd.oci.image.index.v1+json",
  );
  honest = {
    format: "oci",
    id: imageIdFromSha512(createHash("sha512").update(JSON.stringify(document)).digest("hex")),
    manifest,
    config,
    layers: [{ ...layer, diffId: layer.digest }],
    source: { registry: "q.io", repository: "a", reference: "latest" },
    name: "q.io/a",
    labels: [
      { name: "arch", value: "amd64" },
      { name: "os", value: "linux" },
      { name: "version", value: "latest" },
    ],
    origin: "docker://q.io/a",
  };
});
afterAll(() => rmSync(dataDir.root, { recursive: true }));

const reference = (digest?: BlobRef["digest"]): ImageReference => ({
  ...{ kind: "docker", registry: "q.io", repository: "a", tag: undefined, text: "docker://q.io/a" },
  digest,
});
/** Asked for by digest, the digest is the image's version. */
const check = (change: Partial<OciDownload>, digest?: BlobRef["digest"]) => () => {
  const version = digest === undefined ? "latest" : formatDigest(digest);
  const labels = honest.labels.map((label) => (label.name === "version" ? { ...label, value: version } : label));
  const source = { registry: "q.io", repository: "a", reference: version };
  checkAnswer(dataDir, reference(digest), platform, { ...honest, labels, source, ...change });
};

describe("checkAnswer", () => {
  test("an honest answer passes, by tag, by manifest and by index", () => {
    for (const digest of [undefined, honest.manifest.digest, index.digest]) expect(check({}, digest)).not.toThrow();
  });
  test("a pin that does not lead to the manifest is a mismatch", () => {
    const other = put({ schemaVersion: 2, manifests: [{ ...plain(honest.config), platform }] }, "x");
    expect(check({}, honest.config.digest)).toThrow();
    expect(check({}, other.digest)).toThrow();
    expect(check({}, parseDigest(`sha256:${"0".repeat(64)}`))).toThrow("does not hold");
  });
  test("an answer that does not follow from the manifest is not believed", () => {
    const evil = put("evil layer", "application/vnd.oci.image.layer.v1.tar");
    const [layer] = honest.layers;
    expect(check({ layers: [{ ...evil, diffId: evil.digest }] })).toThrow("does not follow");
    expect(check({ layers: layer === undefined ? [] : [{ ...layer, diffId: evil.digest }] })).toThrow(
      "does not follow",
    );
    expect(check({ config: evil })).toThrow("does not follow");
    expect(check({ source: { registry: "coreos.com", repository: "etcd", reference: "1" } })).toThrow(
      "cannot be believed",
    );
    expect(check({ name: "coreos.com/etcd" })).toThrow("does not follow");
    expect(check({ id: imageIdFromSha512("0".repeat(128)) })).toThrow("does not follow");
  });
  test("a blob that is missing, cut or changed is found out", () => {
    const gone = parseDigest(`sha256:${"1".repeat(64)}`);
    expect(check({ config: { ...honest.config, digest: gone } })).toThrow("does not hold");
    expect(check({ config: { ...honest.config, size: 1 } })).toThrow("does not hold");
    writeFileSync(dataDir.blob(index.digest), "x".repeat(index.size));
    expect(check({}, index.digest)).toThrow("has another content");
  });
  test("an image of another kind is refused", () => {
    const aci: ImageReference = { kind: "aci-file", path: "/x.aci" };
    expect(() => checkAnswer(dataDir, aci, platform, honest)).toThrow("another kind");
  });
});
