import { describe, expect, test } from "bun:test";
import { parseImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { AciDownload, OciDownload } from "../core/spine.ts";
import { decodeAnswer, encodeDownload } from "./messages.ts";

const id = parseImageId(`sha512-${"ab".repeat(32)}`);
const blob = { digest: { algorithm: "sha256", hex: "cd".repeat(32) }, size: 5, mediaType: "x/y" } as const;
const overPipe = (message: unknown) => decodeAnswer(JSON.parse(JSON.stringify(message)));

describe("decodeAnswer", () => {
  test("downloads survive the pipe", () => {
    const aci: AciDownload = {
      format: "aci",
      id,
      archive: blob,
      uncompressedSize: 7,
      signature: Buffer.from([1, 2, 255]),
      manifest: Buffer.from("{}"),
      name: "a",
      labels: [{ name: "os", value: "linux" }],
      origin: "https://e.com/a.aci",
    };
    expect(overPipe(encodeDownload(aci))).toEqual({ kind: "download", download: aci });
    const oci: OciDownload = {
      format: "oci",
      id,
      manifest: blob,
      config: blob,
      layers: [{ ...blob, diffId: blob.digest }],
      source: { registry: "r", repository: "a", reference: "latest" },
      name: "r/a",
      labels: [],
      origin: "docker://r/a",
    };
    expect(overPipe(encodeDownload(oci))).toEqual({ kind: "download", download: oci });
  });

  test("failures keep their code, and lose control characters", () => {
    const answer = overPipe({ kind: "failure", code: "NETWORK", message: "a\u001b[2Jb" });
    expect(answer.kind === "failure" && answer.error).toBeInstanceOf(RktError);
    expect(answer.kind === "failure" && [answer.error.code, answer.error.message]).toEqual(["NETWORK", "a\\x1b[2Jb"]);
  });

  test.each<[unknown]>([
    [null],
    [[]],
    ["download"],
    [{ kind: "surprise" }],
    [{ kind: "failure", code: "ROOT", message: "" }],
    [{ kind: "event", event: { kind: "exec" } }],
    [{ kind: "event", event: { kind: "progress", label: "x", done: -1 } }],
    [{ kind: "download", download: { format: "zip" } }],
    [{ kind: "download", download: { format: "oci", id: "../../etc/passwd" } }],
    [
      {
        kind: "download",
        download: { format: "oci", id, labels: [], manifest: { ...blob, digest: { algorithm: "md5", hex: "x" } } },
      },
    ],
    [{ kind: "download", download: { format: "aci", id, archive: blob, uncompressedSize: 1e300, manifest: "" } }],
  ])("refuses %j", (message) => {
    expect(() => overPipe(message)).toThrow("the fetch worker wrote nonsense");
  });
});
