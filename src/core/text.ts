/** Text from outside, made fit for a terminal or a log. */

/** Replaces control characters (escape sequences could rewrite the operator's screen) and cuts at `limit` characters. */
export function printable(text: string, limit = 400): string {
  const clean = text.replace(
    /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return clean.length > limit ? `${clean.slice(0, limit)}…` : clean;
}

/** `text` in double quotes, safe to print. */
export function quoted(text: string, limit = 400): string {
  return `"${printable(text, limit).replaceAll('"', '\\"')}"`;
}

/** A URL without credentials and without the values of its query, which often carry tokens. */
export function redactUrl(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return printable(String(url)).replace(/\/\/[^/@]*@/, "//");
  }
  parsed.username = "";
  parsed.password = "";
  for (const key of [...parsed.searchParams.keys()]) parsed.searchParams.set(key, "REDACTED");
  return printable(parsed.toString());
}
