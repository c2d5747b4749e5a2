/** Where a prefix publishes its keys: `<meta name="ac-discovery-pubkeys" content="PREFIX URL">` (App Container specification, discovery.md). */

import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { printable } from "../core/text.ts";
import { parseAcIdentifier } from "../spec/appc/names.ts";

/** Gives the page at a URL; throws when there is none. */
export type GetPage = (url: string) => Promise<Buffer>;

/**
 * The URLs of the keys for `prefix`: of the first page with such tags, from the whole name up to its host. Over https, and then over http if that is allowed.
 * Throws INVALID_INPUT for a prefix that is no identifier, NOT_FOUND (rkt's words) without any tag.
 */
export async function discoverKeys(
  prefix: string,
  allowHttp: boolean,
  getPage: GetPage,
  emit: Emit,
): Promise<string[]> {
  const parts = parseAcIdentifier(prefix).split("/");
  for (let length = parts.length; length > 0; length--) {
    const place = parts.slice(0, length).join("/");
    for (const scheme of allowHttp ? ["https", "http"] : ["https"]) {
      const keys = await keysAt(`${scheme}://${place}?ac-discovery=1`, prefix, getPage).catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        emit({
          kind: "debug",
          source: "pubkey",
          text: `meta tag 'ac-discovery-pubkeys' not found on ${place}: ${reason}`,
        });
        return [];
      });
      if (keys.length > 0) return keys;
    }
  }
  throw new RktError("NOT_FOUND", `meta tag 'ac-discovery-pubkeys' not found on ${printable(prefix)}`);
}

async function keysAt(url: string, prefix: string, getPage: GetPage): Promise<string[]> {
  return publicKeyTags((await getPage(url)).toString("utf8"))
    .filter(([tagPrefix]) => prefix === tagPrefix || prefix.startsWith(`${tagPrefix}/`))
    .map(([, location]) => location);
}

/** [prefix, URL] of each tag. A page is read as text: what a scan of its tags misses costs a key, not safety, since the operator reviews what is found. */
export function publicKeyTags(html: string): [prefix: string, url: string][] {
  return [...html.replace(/<!--[\s\S]*?-->/g, "").matchAll(/<meta\b[^>]*>/gi)].flatMap(([tag]) => {
    if (attribute(tag, "name")?.toLowerCase() !== "ac-discovery-pubkeys") return [];
    const [prefix, url, ...rest] = (attribute(tag, "content") ?? "").trim().split(/\s+/);
    return prefix !== undefined && url !== undefined && rest.length === 0 ? [[prefix, url]] : [];
  });
}

function attribute(tag: string, name: string): string | undefined {
  const match = new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`, "i").exec(tag);
  const value = match?.[1] ?? match?.[2] ?? match?.[3];
  return value?.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
