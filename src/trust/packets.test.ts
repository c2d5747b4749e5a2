import { describe, expect, test } from "bun:test";
import { areSignatures, armorKey, dearmor, keyFingerprint, packetsOf } from "./packets.ts";
import { ARMORED_KEY, ARMORED_SIGNATURE, FINGERPRINT } from "./test-keys.ts";

describe("armor", () => {
  test("comes off: headers, CRLF and text around the block do not matter", () => {
    const key = dearmor(Buffer.from(ARMORED_KEY), "PUBLIC KEY BLOCK");
    expect(key && keyFingerprint(key)).toBe(FINGERPRINT);
    const dressed = `some text\n${ARMORED_KEY.replace("\n\n", "\nVersion: GnuPG v1\nComment: a: b\n\n").replaceAll("\n", "\r\n")}more`;
    expect(dearmor(Buffer.from(dressed), "PUBLIC KEY BLOCK")).toEqual(key as Buffer);
  });

  test("binary stays as it is; armoring it again gives the same key", () => {
    const key = dearmor(Buffer.from(ARMORED_KEY), "PUBLIC KEY BLOCK") ?? Buffer.alloc(0);
    expect(dearmor(key, "PUBLIC KEY BLOCK")).toEqual(key);
    expect(dearmor(Buffer.from(armorKey(key)), "PUBLIC KEY BLOCK")).toEqual(key);
  });

  test("what is damaged, or of another kind, is refused", () => {
    expect(dearmor(Buffer.from(ARMORED_KEY), "SIGNATURE")).toBeUndefined();
    expect(dearmor(Buffer.from("no key at all\n"), "PUBLIC KEY BLOCK")).toBeUndefined();
    expect(dearmor(Buffer.alloc(0), "PUBLIC KEY BLOCK")).toBeUndefined();
    const lines = ARMORED_KEY.split("\n");
    const swapped = [...lines.slice(0, 2), lines[3], lines[2], ...lines.slice(4)].join("\n");
    expect(dearmor(Buffer.from(swapped), "PUBLIC KEY BLOCK")).toBeUndefined();
  });
});

describe("packets", () => {
  test("cut or overlong ones are no packets", () => {
    const key = dearmor(Buffer.from(ARMORED_KEY), "PUBLIC KEY BLOCK") ?? Buffer.alloc(0);
    expect(packetsOf(key)?.map(({ tag }) => tag)).toEqual([6, 13, 2]);
    expect(packetsOf(key.subarray(0, -1))).toBeUndefined();
    expect(packetsOf(Buffer.from([0xcb, 0xe1, 0x00]))).toBeUndefined(); // a partial length
    expect(packetsOf(Buffer.from([0x87]))).toBeUndefined(); // an indeterminate one
  });

  test("a signature file holds signatures only", () => {
    const signature = dearmor(Buffer.from(ARMORED_SIGNATURE), "SIGNATURE") ?? Buffer.alloc(0);
    expect(areSignatures(signature)).toBe(true);
    expect(areSignatures(Buffer.concat([signature, signature]))).toBe(true);
    // A literal message beside the signature: gpgv would check that instead of the image.
    const literal = Buffer.from([0xcb, 0x08, 0x62, 0x00, 0, 0, 0, 0, 0x68, 0x69]);
    expect(areSignatures(Buffer.concat([literal, signature]))).toBe(false);
    expect(areSignatures(Buffer.alloc(0))).toBe(false);
  });
});
