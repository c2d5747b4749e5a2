import { describe, expect, test } from "bun:test";
import { readGpgvStatus } from "./gpgv-status.ts";

const FPR = "8B86DE38890DDB7291867B025210BD8888182190";
const good = (hash = 8, kind = "00", primary = FPR) =>
  `[GNUPG:] NEWSIG a@example.com
[GNUPG:] GOODSIG 5210BD8888182190 A <a@example.com>
[GNUPG:] VALIDSIG 0000000000000000000000000000000000000000 2026-01-01 1795494807 0 4 0 1 ${hash} ${kind} ${primary}`;

describe("readGpgvStatus", () => {
  test("a good signature counts for the primary key", () => {
    expect(readGpgvStatus(good())).toEqual({
      good: [{ fingerprint: FPR.toLowerCase(), userId: "A <a@example.com>" }],
      problems: [],
    });
  });

  test.each([
    ["EXPSIG", "expired"],
    ["EXPKEYSIG", "expired-key"],
    ["REVKEYSIG", "revoked-key"],
  ])("VALIDSIG after %s does not count", (keyword, problem) => {
    expect(readGpgvStatus(good().replace("GOODSIG", keyword))).toEqual({ good: [], problems: [problem as never] });
  });

  test("a GOODSIG does not carry over to the next signature", () => {
    const next = good()
      .split("\n")
      .filter((line) => !line.includes("GOODSIG"));
    const first = good()
      .split("\n")
      .filter((line) => !line.includes("VALIDSIG"));
    expect(readGpgvStatus([...first, ...next].join("\n")).good).toEqual([]);
  });

  test("weak digests and signatures over text do not count", () => {
    for (const hash of [1, 2, 3]) expect(readGpgvStatus(good(hash)).problems).toEqual(["weak-digest"]);
    expect(readGpgvStatus(good(8, "01")).problems).toEqual(["text"]);
  });

  test("unknown keys, unknown algorithms, changed data", () => {
    expect(readGpgvStatus("[GNUPG:] ERRSIG 5210BD8888182190 1 8 00 1795494807 9 -").problems).toEqual(["unknown-key"]);
    expect(readGpgvStatus("[GNUPG:] ERRSIG 5210BD8888182190 1 8 00 1795494807 4 -").problems).toEqual(["unsupported"]);
    expect(readGpgvStatus("[GNUPG:] BADSIG 5210BD8888182190 A").problems).toEqual(["bad"]);
  });

  test("lines that are not status lines say nothing", () => {
    expect(readGpgvStatus(good().replaceAll("[GNUPG:]", "gpgv:"))).toEqual({ good: [], problems: [] });
  });
});
