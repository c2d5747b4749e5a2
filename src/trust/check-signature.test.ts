import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkSignature, type SignatureCheck } from "./check-signature.ts";
import { dearmor } from "./packets.ts";
import { ARMORED_KEY, ARMORED_SIGNATURE, FINGERPRINT } from "./test-keys.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rkt-sig-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const binary = (text: string, kind: "PUBLIC KEY BLOCK" | "SIGNATURE") =>
  dearmor(Buffer.from(text), kind) ?? Buffer.alloc(0);
const KEY = binary(ARMORED_KEY, "PUBLIC KEY BLOCK");
const SIGNATURE = binary(ARMORED_SIGNATURE, "SIGNATURE");

async function check(content: Uint8Array | string, keyring = KEY, signature = SIGNATURE): Promise<SignatureCheck> {
  writeFileSync(join(root, "data"), content);
  const fd = openSync(join(root, "data"), "r");
  try {
    return await checkSignature(fd, keyring, signature);
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(Bun.which("gpgv") === null)("checkSignature", () => {
  test("the signed bytes are good, and hashed as they were streamed", async () => {
    const { good, problems, sha512 } = await check("the image");
    expect(good).toEqual([{ fingerprint: FINGERPRINT, userId: "Test Signer <signer@example.com>" }]);
    expect(problems).toEqual([]);
    expect(sha512).toBe(createHash("sha512").update("the image").digest("hex"));
  });

  test("one byte more is bad, however much follows", async () => {
    expect((await check("the image\n")).problems).toEqual(["bad"]);
    const large = Buffer.alloc(20 * 1024 * 1024, "x");
    const { problems, sha512 } = await check(large);
    expect(problems).toEqual(["bad"]);
    expect(sha512).toBe(createHash("sha512").update(large).digest("hex"));
  });

  test("without the key it is unknown, and the hash is there all the same", async () => {
    const large = Buffer.alloc(20 * 1024 * 1024, "x");
    const { problems, sha512 } = await check(large, Buffer.alloc(0));
    expect(problems).toEqual(["unknown-key"]);
    expect(sha512).toBe(createHash("sha512").update(large).digest("hex"));
  });

  test("nonsense for a signature is an error", async () => {
    expect(check("the image", KEY, Buffer.from("nonsense"))).rejects.toThrow("no valid signatures found");
  });
});
