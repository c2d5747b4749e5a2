/** Words of unit files (systemd.syntax(7), systemd.service(5) "Command lines"): whatever an image or a volume is called, it stays one word. Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";

/**
 * A command as systemd reads it: every word quoted, `%` doubled, so that no word of an image is taken for a specifier. The first word begins with ":", which
 * turns `$` into a plain character. `asRoot` ("!"): User= and its like do not count for it; unlike with "+" or PermissionsStartOnly=, everything else does
 * (seen: those drop the capability bounds and the filter as well).
 */
export function commandLine(words: readonly string[], asRoot = false): string {
  const prefix = asRoot ? "!:" : ":";
  return words.map((word, index) => `"${index === 0 ? prefix : ""}${escaped(word)}"`).join(" ");
}

function escaped(word: string): string {
  return word
    .replaceAll("%", "%%")
    .replace(/["\\]/g, (character) => `\\${character}`)
    .replace(/[\x01-\x1f\x7f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A path as one word of BindPaths= and friends, where colon and space separate. Throws INVALID_INPUT for a line break, which would start another directive. */
export function pathWord(path: string): string {
  return `"${checked(path)
    .replaceAll("%", "%%")
    .replace(/["\\]/g, (character) => `\\${character}`)}"`;
}

/** The rest of a line, as Description= and WorkingDirectory= take it. Throws INVALID_INPUT for a line break. */
export function lineText(text: string): string {
  return checked(text).replaceAll("%", "%%").replace(/\\$/, "\\\\");
}

function checked(text: string): string {
  if (!/[\x00-\x1f\x7f]/.test(text)) return text;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} in a pod: it holds control characters`);
}

/** Part of a slice's name, where a hyphen stands for a level of the tree (systemd.slice(5)). `name` is an AC name. */
export function slicePart(name: string): string {
  return name.replaceAll("-", "\\x2d");
}

/** Lines of an environment file (systemd.exec(5), EnvironmentFile=): values in double quotes, where the parser takes everything but these four as it is. */
export function environmentFile(environment: ReadonlyMap<string, string>): string {
  return [...environment].map(([name, value]) => `${name}="${value.replace(/["\\$`]/g, (c) => `\\${c}`)}"\n`).join("");
}

/** A unit file of these lines. */
export function unitText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
