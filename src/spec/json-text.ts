/**
 * Writing JSON the way Go's encoding/json does (field order given, maps sorted by the caller, "<", ">", "&" and line separators escaped), so that a manifest
 * printed by rkt 2 is byte for byte what a client of rkt 1.x, or its test, compares with. JSON.stringify cannot: it moves keys like "80" to the front.
 */

/** What {@link jsonText} writes. A Map is an object with its keys in that order. */
export type Writable =
  | string
  | number
  /** For times in nanoseconds, which a number cannot hold exactly. */
  | bigint
  | boolean
  | null
  | readonly Writable[]
  | ReadonlyMap<string, Writable>
  | { readonly [key: string]: Writable };

/** `indent` "" gives one line without blanks (json.Marshal), "\t" gives json.MarshalIndent's form. No final newline either way. */
export function jsonText(value: Writable, indent = ""): string {
  return write(value, indent, indent === "" ? "" : "\n");
}

/** An object with its fields in the order given; fields whose value is undefined are left out. */
export function ordered(...fields: [string, Writable | undefined][]): ReadonlyMap<string, Writable> {
  const map = new Map<string, Writable>();
  for (const [key, value] of fields) if (value !== undefined) map.set(key, value);
  return map;
}

/** `newline` is the line break and indentation of the level that the value starts on. */
function write(value: Writable, indent: string, newline: string): string {
  if (value === null || typeof value === "boolean" || typeof value === "number") return JSON.stringify(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "string") return stringText(value);
  const inner = newline === "" ? "" : newline + indent;
  if (isList(value))
    return block(
      ["[", "]"],
      value.map((item) => write(item, indent, inner)),
      newline,
      inner,
    );
  const colon = newline === "" ? ":" : ": ";
  const fields = value instanceof Map ? [...value] : Object.entries(value);
  const lines = fields.map(([key, item]) => `${stringText(key)}${colon}${write(item, indent, inner)}`);
  return block(["{", "}"], lines, newline, inner);
}

function block([open, close]: [string, string], parts: readonly string[], newline: string, inner: string): string {
  return parts.length === 0 ? open + close : open + inner + parts.join(`,${inner}`) + newline + close;
}

function isList(value: Writable): value is readonly Writable[] {
  return Array.isArray(value);
}

/** Go escapes what could end a script in HTML, has no short form for backspace and form feed, and replaces what is not Unicode. */
function stringText(text: string): string {
  return JSON.stringify(text.toWellFormed())
    .replace(/(\\\\)|\\b|\\f/g, (short, backslash) => backslash ?? (short === "\\b" ? "\\u0008" : "\\u000c"))
    .replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
