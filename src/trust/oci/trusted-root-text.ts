/** A trusted root as text: Sigstore's trusted_root.json, or several of them, each on a line (`gh attestation trusted-root` writes such). */

/** Each is tried with every signature. */
const MOST_ROOTS = 16;

/** The documents in `text`, at least one. Throws SyntaxError. */
export function trustedRootDocuments(text: string): unknown[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const areDocuments = lines.length > 1 && lines.every((line) => /^\s*\{.*\}\s*$/.test(line));
  if (areDocuments && lines.length > MOST_ROOTS) {
    throw new SyntaxError(`${lines.length} roots, expected at most ${MOST_ROOTS}`);
  }
  return areDocuments ? lines.map((line): unknown => JSON.parse(line)) : [JSON.parse(text)];
}

/** What {@link trustedRootDocuments} reads. */
export function trustedRootText(documents: readonly unknown[]): string {
  return documents.map((document) => JSON.stringify(document)).join("\n");
}
