import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageIdFromSha512, parseDigest } from "../core/digest.ts";
import type { OciDownload, SignatureSet } from "../core/spine.ts";
import { digestOfBytes } from "./document-digest.ts";
import { signatureDocument, withLocalSignatures } from "./local-signatures.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-local-signatures-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const DIGEST = parseDigest(`sha256:${"a".repeat(64)}`);
const blob = { digest: DIGEST, size: 1, mediaType: "" };
const download = (signatures: SignatureSet): OciDownload => ({
  format: "oci",
  id: imageIdFromSha512("a".repeat(128)),
  manifest: blob,
  config: blob,
  layers: [],
  name: "app",
  labels: [],
  origin: "docker://reg.example/app",
  signatures,
});
const found = (more: Partial<SignatureSet> = {}): SignatureSet => ({
  documents: [],
  indexes: [],
  searched: [],
  ...more,
});
const registry = {
  kind: "docker",
  registry: "reg.example",
  repository: "app",
  tag: "1",
  digest: undefined,
  text: "docker://reg.example/app:1",
} as const;

function put(path: string, content: string): void {
  const file = join(root, path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, content);
}

describe("withLocalSignatures", () => {
  const lookaside = (set = found()) =>
    withLocalSignatures(download(set), registry, { path: undefined, lookaside: `file://${root}/app` }).signatures;

  test("a lookaside has them numbered, for the manifest and for each index", () => {
    const index = Buffer.from("an index");
    put(`app@sha256=${DIGEST.hex}/signature-1`, "one");
    put(`app@sha256=${DIGEST.hex}/signature-2`, "two");
    put(`app@sha256=${DIGEST.hex}/signature-4`, "after a gap");
    put(`app@sha256=${digestOfBytes("sha256", index).hex}/signature-1`, "of the index");
    const set = lookaside(found({ indexes: [index] }));
    expect(set?.documents.map(({ content }) => String(content))).toEqual(["one", "two", "of the index"]);
    expect(set?.searched).toHaveLength(2);
    expect(lookaside()?.documents).toHaveLength(2);
  });

  test("what is too large, or a link, is an error and not a signature", () => {
    put(`app@sha256=${DIGEST.hex}/signature-1`, "x".repeat(200_000));
    expect(() => lookaside()).toThrow("larger than");
    rmSync(join(root, `app@sha256=${DIGEST.hex}/signature-1`));
    put("secret", "secret");
    symlinkSync(join(root, "secret"), join(root, `app@sha256=${DIGEST.hex}/signature-1`));
    expect(() => lookaside()).toThrow("symbolic link");
  });

  test("there is room for 64", () => {
    for (let number = 1; number <= 70; number++) put(`app@sha256=${DIGEST.hex}/signature-${number}`, String(number));
    const before = found({ documents: [{ kind: "bundle", content: Buffer.from("{}") }] });
    expect(lookaside(before)?.documents).toHaveLength(64);
  });

  test("--signature names the only one", () => {
    put("given.json", ' {"mediaType": ""}');
    const before = found({ documents: [{ kind: "simple", content: Buffer.from("x") }] });
    const given = { path: join(root, "given.json"), lookaside: `file://${root}/app` };
    expect(withLocalSignatures(download(before), registry, given).signatures?.documents).toEqual([
      { kind: "bundle", content: Buffer.from(' {"mediaType": ""}') },
    ]);
    const missing = { ...given, path: join(root, "missing") };
    expect(() => withLocalSignatures(download(before), registry, missing)).toThrow("error opening signature file");
  });
});

test("JSON is a bundle, anything else a message", () => {
  expect(signatureDocument(Buffer.from("\n{}")).kind).toBe("bundle");
  expect(signatureDocument(Buffer.from([0xa3, 1])).kind).toBe("simple");
  expect(signatureDocument(Buffer.alloc(0)).kind).toBe("simple");
});
