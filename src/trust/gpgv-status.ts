/** What gpgv says about signatures, on its status descriptor (GnuPG, doc/DETAILS, "Format of the --status-fd output"). */

export interface GoodSignature {
  /** Primary key's, 40 lower-case hex digits. */
  readonly fingerprint: string;
  /** "CoreOS ACI Builder <release@coreos.com>". */
  readonly userId: string;
}

export type SignatureProblem =
  | "unknown-key"
  | "unsupported"
  | "bad"
  | "expired"
  | "expired-key"
  | "revoked-key"
  | "weak-digest"
  | "text";

export interface Verdict {
  readonly good: readonly GoodSignature[];
  /** One for each signature that does not count. */
  readonly problems: readonly SignatureProblem[];
}

/** RFC 4880, section 9.4: MD5, SHA-1, RIPEMD-160. Collisions can be made for the first two; gpgv lets SHA-1 pass. */
const WEAK_DIGESTS: ReadonlySet<string> = new Set(["1", "2", "3"]);

const PROBLEMS: Record<string, SignatureProblem> = {
  BADSIG: "bad",
  EXPSIG: "expired",
  EXPKEYSIG: "expired-key",
  REVKEYSIG: "revoked-key",
};

/**
 * Reads the status lines of one run. A signature counts when gpgv said GOODSIG *and* VALIDSIG of it: the latter alone is also said of expired and revoked ones.
 */
export function readGpgvStatus(output: string): Verdict {
  const good: GoodSignature[] = [];
  const problems: SignatureProblem[] = [];
  let userId: string | undefined;
  for (const line of output.split("\n")) {
    const [prefix, keyword = "", ...words] = line.split(" ");
    if (prefix !== "[GNUPG:]") continue;
    const problem = Object.hasOwn(PROBLEMS, keyword) ? PROBLEMS[keyword] : undefined;
    if (keyword === "NEWSIG") userId = undefined;
    else if (keyword === "GOODSIG") userId = words.slice(1).join(" ");
    else if (problem !== undefined) problems.push(problem);
    // ERRSIG's sixth word is the reason: 9 for a missing key, 4 for an algorithm that gpgv does not know.
    else if (keyword === "ERRSIG") problems.push(words[5] === "9" ? "unknown-key" : "unsupported");
    else if (keyword === "VALIDSIG" && userId !== undefined) {
      const verdict = validSignature(words, userId);
      if (typeof verdict === "string") problems.push(verdict);
      else good.push(verdict);
      userId = undefined;
    }
  }
  return { good, problems };
}

/** VALIDSIG: fingerprint, date, timestamp, expiry, version, reserved, key algorithm, hash algorithm, class, primary key's fingerprint. */
function validSignature(words: readonly string[], userId: string): GoodSignature | SignatureProblem {
  const [, , , , , , , hash = "", kind = "", primary = ""] = words;
  if (WEAK_DIGESTS.has(hash)) return "weak-digest";
  // A signature over text ignores line ends and blanks at them: other bytes than those signed would pass.
  if (kind !== "00") return "text";
  if (!/^[0-9A-F]{40}$/.test(primary)) return "unknown-key";
  return { fingerprint: primary.toLowerCase(), userId: decodeText(userId) };
}

/** gpgv writes control characters as "%0A"; whatever prints the text makes them harmless again. */
function decodeText(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
