/** The values of one platform configuration register, one for each hash algorithm that the TPM keeps it in (its banks). Pure. */

import { createHash } from "node:crypto";

/** Banks that can be extended here, by their names in the TCG's event logs and in tpm2-tools. Others that a TPM may keep (sm3_256, sha3) stay as they are. */
export const BANKS = ["sha1", "sha256", "sha384", "sha512"] as const;
export type Bank = (typeof BANKS)[number];

const DIGEST_BYTES: Readonly<Record<Bank, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** Hexadecimal digests or register values, lower case, of the length that their bank has. In the order of {@link BANKS}. */
export type BankValues = ReadonlyMap<Bank, string>;

/** The digest of a measured text, in the banks that `banks` has. */
export function digestsOf(text: string, banks: BankValues): BankValues {
  return new Map([...banks.keys()].map((bank) => [bank, createHash(bank).update(text, "utf8").digest("hex")]));
}

/** What a register holds after an extension: H(old || digest), in each bank (TPM 2.0 Library, Part 1, "PCR Operations"). */
export function extended(register: BankValues, digests: BankValues): BankValues {
  return new Map(
    [...register].map(([bank, value]) => [
      bank,
      createHash(bank)
        .update(Buffer.from(value + (digests.get(bank) ?? ""), "hex"))
        .digest("hex"),
    ]),
  );
}

export function sameValues(a: BankValues, b: BankValues): boolean {
  return a.size === b.size && [...a].every(([bank, value]) => b.get(bank) === value);
}

export function isBankValue(bank: Bank, value: string): boolean {
  return value.length === DIGEST_BYTES[bank] * 2 && /^[0-9a-f]*$/.test(value);
}

/** What a register holds after the TPM's reset, if nobody has extended it. */
export function zeros(bank: Bank): string {
  return "00".repeat(DIGEST_BYTES[bank]);
}
