import { describe, expect, test } from "bun:test";
import type { SignatureSet } from "../../core/spine.ts";
import { readDocument } from "../document.ts";
import { decodeSignatureSet, encodeSignatureSet, SIGNATURE_LIMITS } from "./signature-set.ts";

const SET: SignatureSet = {
  documents: [
    { kind: "bundle", content: Buffer.from('{"a": 1}') },
    { kind: "simple", content: Buffer.from([0, 1, 2, 255]) },
    {
      kind: "cosign",
      content: Buffer.from("payload"),
      signature: "c2ln",
      certificate: "-----BEGIN…",
      chain: "-----BEGIN… -----BEGIN…",
      logEntry: undefined,
      timestamp: "{}",
    },
  ],
  indexes: [Buffer.from("an index")],
  searched: ["the tag x", "a\u001b[2Jb"],
};

const decode = (text: string) => decodeSignatureSet(readDocument(text, "the signatures"));

describe("a set of signatures", () => {
  test("comes back as it was, but for what a terminal must not see", () => {
    expect(decode(encodeSignatureSet(SET))).toEqual({ ...SET, searched: ["the tag x", "a\\x1b[2Jb"] });
    expect(decode("{}")).toEqual({ documents: [], indexes: [], searched: [] });
  });

  test("keeps to its limits, whoever wrote it", () => {
    const document = (bytes: number) => ({ kind: "bundle", content: Buffer.alloc(bytes, 1).toString("base64") });
    const refused: object[] = [
      { documents: Array.from({ length: SIGNATURE_LIMITS.documents + 1 }, () => document(1)) },
      { documents: [document(SIGNATURE_LIMITS.document + 3)] },
      { documents: Array.from({ length: 40 }, () => document(100_000)) },
      { documents: [{ kind: "cosign", content: "", signature: "x".repeat(SIGNATURE_LIMITS.document + 1) }] },
      { indexes: Array.from({ length: SIGNATURE_LIMITS.indexes + 1 }, () => "") },
      { indexes: [Buffer.alloc(SIGNATURE_LIMITS.index + 3).toString("base64")] },
      { documents: [{ kind: "other", content: "" }] },
      { documents: [{ kind: "bundle", content: "not base64" }] },
      { documents: "x" },
      { documents: [5] },
    ];
    for (const one of refused) expect(() => decode(JSON.stringify(one))).toThrow("Cannot read the signatures");
  });
});
