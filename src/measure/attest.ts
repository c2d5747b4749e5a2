/** What a TPM signs: TPMS_ATTEST of a quote, and TPMT_SIGNATURE (TPM 2.0 Library, Part 2, "Attestation Structures" and "Signatures"). Big-endian, read to the last byte. Pure. */

import { RktError } from "../core/errors.ts";

export interface AttestedQuote {
  /** The nonce. */
  readonly extraData: Buffer;
  readonly clock: TpmClock;
  /** Which registers of which banks, by the numbers of the algorithms (0x000b: SHA-256). */
  readonly selections: readonly { readonly algorithm: number; readonly pcrs: readonly number[] }[];
  /** Hash of the registers' values, one after the other. */
  readonly pcrDigest: Buffer;
}

/** Part of what is signed: the same reset count twice is the same boot of the TPM. */
export interface TpmClock {
  /** Milliseconds that the TPM has been powered. */
  readonly milliseconds: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
}

/** TPM_GENERATED_VALUE: a restricted key signs nothing else that begins with it, so no program can have made it up. */
const GENERATED = 0xff544347;
const ATTEST_QUOTE = 0x8018;
const ALG_ECDSA = 0x0018;
export const ALG_SHA256 = 0x000b;

/** Throws INVALID_INPUT. */
export function parseAttest(bytes: Buffer): AttestedQuote {
  const reader = bigEndian(bytes, "what the TPM has signed");
  if (reader.integer(4) !== GENERATED || reader.integer(2) !== ATTEST_QUOTE) throw reader.wrong("it is no quote");
  reader.sized(); // The signer's qualified name: the signature says who it was.
  const extraData = reader.sized();
  const milliseconds = reader.long();
  const [resetCount, restartCount] = [reader.integer(4), reader.integer(4)];
  reader.integer(1); // safe: whether the clock may have stood still.
  reader.long(); // The firmware's version.
  const count = reader.integer(4);
  if (count > 16) throw reader.wrong("it has too many selections of registers");
  const selections = Array.from({ length: count }, () => {
    const algorithm = reader.integer(2);
    const bits = reader.take(reader.integer(1));
    const pcrs = Array.from({ length: bits.length * 8 }, (_, pcr) => pcr);
    return { algorithm, pcrs: pcrs.filter((pcr) => ((bits[pcr >> 3] ?? 0) >> (pcr & 7)) & 1) };
  });
  const pcrDigest = reader.sized();
  reader.end();
  return { extraData, clock: { milliseconds, resetCount, restartCount }, selections, pcrDigest };
}

/** An ECDSA signature with SHA-256 over P-256, as r and s of 32 bytes each. Throws INVALID_INPUT. */
export function parseSignature(bytes: Buffer): Buffer {
  const reader = bigEndian(bytes, "the signature");
  if (reader.integer(2) !== ALG_ECDSA || reader.integer(2) !== ALG_SHA256)
    throw reader.wrong("expected one by ECDSA with SHA-256");
  const parts = [reader.sized(), reader.sized()];
  reader.end();
  if (parts.some(({ length }) => length > 32)) throw reader.wrong("expected one over the curve P-256");
  return Buffer.concat(parts.map((part) => Buffer.concat([Buffer.alloc(32 - part.length), part])));
}

function bigEndian(bytes: Buffer, what: string) {
  let at = 0;
  const wrong = (reason: string) => new RktError("INVALID_INPUT", `Cannot read ${what}: ${reason}`);
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw wrong("it is cut off");
    at += length;
    return bytes.subarray(at - length, at);
  };
  return {
    wrong,
    take,
    integer: (length: 1 | 2 | 4) => take(length).readUIntBE(0, length),
    long: () => take(8).readBigUInt64BE(),
    /** TPM2B: two bytes of length, and as many bytes. */
    sized: () => take(take(2).readUInt16BE()),
    end() {
      if (at !== bytes.length) throw wrong("more follows than belongs to it");
    },
  };
}
