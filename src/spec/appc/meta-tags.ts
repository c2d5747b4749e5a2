/**
 * The `<meta name="ac-…" content="PREFIX URL">` tags of an HTML page: all that App Container discovery reads of it (spec/discovery.md). One pass over the text that
 * never looks back, so that no page can make it slow. Strict where that costs nothing: it ends with the head, since what stands in a body (a comment of a visitor,
 * perhaps) does not speak for the site, and scripts, styles and comments hold no tags.
 */

export interface DiscoveryTag {
  /** "ac-discovery" or "ac-discovery-pubkeys". */
  readonly name: string;
  /** Beginning of the image names that the tag is for. */
  readonly prefix: string;
  /** A URL, for "ac-discovery" with variables in braces. */
  readonly location: string;
}

/** Elements whose content is text, whatever it looks like (HTML standard, "raw text" and "escapable raw text" elements). */
const TEXT_ELEMENTS: ReadonlySet<string> = new Set(["script", "style", "title", "textarea", "noscript", "template"]);
const MOST_TAGS = 256;

/** The tags in the order of the page; none that lacks a part. */
export function discoveryTags(html: string): DiscoveryTag[] {
  const tags: DiscoveryTag[] = [];
  let at = 0;
  while (tags.length < MOST_TAGS) {
    at = html.indexOf("<", at);
    if (at < 0) break;
    if (html.startsWith("<!--", at)) {
      at = after(html, "-->", at + 4);
      continue;
    }
    const name = elementName(html, at + 1);
    if (name === "") {
      at += 1;
      continue;
    }
    if (name === "body" || name === "/head" || name === "/html") break;
    const { attributes, end } = readAttributes(html, at + 1 + name.length);
    at = end;
    if (name === "meta") tags.push(...tagOf(attributes));
    else if (TEXT_ELEMENTS.has(name)) at = endOfText(html, name, at);
  }
  return tags;
}

const NAME = /\/?[a-z][a-z0-9-]*/iy;

/** "meta", "/head"; "" when no element begins here. */
function elementName(html: string, at: number): string {
  NAME.lastIndex = at;
  return (NAME.exec(html)?.[0] ?? "").toLowerCase();
}

/** Space, or one attribute with its value, or the end of the tag. */
const PART = /[\s/]+|([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?|(>)/y;

/** Attributes by lower-case name, the first of each name, and where the tag ends. What is no attribute ends the tag. */
function readAttributes(html: string, start: number): { attributes: Map<string, string>; end: number } {
  const attributes = new Map<string, string>();
  PART.lastIndex = start;
  for (;;) {
    const before = PART.lastIndex;
    const part = PART.exec(html);
    if (part === null) return { attributes, end: before };
    const [, name, double, single, bare, close] = part;
    if (close !== undefined) return { attributes, end: PART.lastIndex };
    if (name === undefined) continue;
    const key = name.toLowerCase();
    if (!attributes.has(key)) attributes.set(key, unescaped(double ?? single ?? bare ?? ""));
  }
}

function tagOf(attributes: ReadonlyMap<string, string>): DiscoveryTag[] {
  const name = attributes.get("name")?.toLowerCase();
  if (name !== "ac-discovery" && name !== "ac-discovery-pubkeys") return [];
  const [prefix = "", location = "", ...rest] = (attributes.get("content") ?? "").trim().split(/\s+/);
  return location === "" || rest.length > 0 ? [] : [{ name, prefix, location }];
}

function endOfText(html: string, name: string, start: number): number {
  const close = new RegExp(`</${name}[\\s/>]`, "gi");
  close.lastIndex = start;
  return close.exec(html)?.index ?? html.length;
}

function after(html: string, mark: string, start: number): number {
  const found = html.indexOf(mark, start);
  return found < 0 ? html.length : found + mark.length;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", quot: '"', apos: "'", lt: "<", gt: ">" };

/** The references that occur in URLs; others stay as they are. */
function unescaped(text: string): string {
  return text.replace(/&(?:#(\d{1,5})|#x([0-9a-f]{1,4})|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return Object.hasOwn(ENTITIES, name) ? (ENTITIES[name] ?? whole) : whole;
    return String.fromCharCode(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal));
  });
}
