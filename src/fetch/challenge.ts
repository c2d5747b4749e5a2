/** WWW-Authenticate of a registry (RFC 9110 section 11.6.1): what it wants to see before it answers. */

export interface Challenge {
  /** Lower-case: "basic", "bearer". */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/;

/** Parses the header; several challenges stand in one list. What cannot be read ends the list: a server's nonsense is not our error. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let rest = header;
  for (;;) {
    rest = rest.replace(/^[\s,]+/, "");
    const word = TOKEN.exec(rest)?.[0];
    if (word === undefined) return challenges;
    const after = rest.slice(word.length);
    const value = /^\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/.exec(after);
    const current = challenges.at(-1);
    if (value !== null && current !== undefined) {
      const text = value[1]?.replace(/\\(.)/g, "$1") ?? value[2] ?? "";
      // The first of equal names counts, so that nothing appended changes it.
      if (!current.parameters.has(word.toLowerCase())) current.parameters.set(word.toLowerCase(), text);
      rest = after.slice(value[0].length);
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      rest = after;
    }
  }
}
