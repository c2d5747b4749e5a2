/** Why one signature does not count for one signer. Thrown and caught within the verify worker. */

/** From harmless to grave: what an operator should read first comes last. */
const GRAVITY = ["stranger", "unsupported", "malformed", "other-image", "other-name", "log", "invalid"] as const;

/**
 * stranger: by nobody who is trusted. unsupported: of a kind that is no statement about an image. malformed: cannot be read. other-image, other-name: true, but for something
 * else. log: the transparency log does not confirm it. invalid: names a trusted signer who did not make it.
 */
export type ProblemKind = (typeof GRAVITY)[number];

export class SignatureRefused extends Error {
  readonly kind: ProblemKind;

  constructor(kind: ProblemKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The words of all problems, the gravest first, each once. */
export function problemTexts(problems: readonly SignatureRefused[]): string[] {
  const sorted = [...problems].sort((a, b) => GRAVITY.indexOf(b.kind) - GRAVITY.indexOf(a.kind));
  return [...new Set(sorted.map(({ message }) => message))];
}
