/** Where a prefix publishes its keys: `<meta name="ac-discovery-pubkeys" content="PREFIX URL">` (App Container specification, discovery.md). */

import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { printable } from "../core/text.ts";
import { discoveryPlaces, discoveryUrl } from "../spec/appc/discovery.ts";
import { discoveryTags } from "../spec/appc/meta-tags.ts";
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
  for (const place of discoveryPlaces(parseAcIdentifier(prefix))) {
    for (const scheme of allowHttp ? (["https", "http"] as const) : (["https"] as const)) {
      const keys = await keysAt(discoveryUrl(scheme, place), prefix, getPage).catch((error: unknown) => {
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

/** What is found counts for whole components only, as in the keystore; and the operator reviews it. */
async function keysAt(url: string, prefix: string, getPage: GetPage): Promise<string[]> {
  return discoveryTags((await getPage(url)).toString("utf8"))
    .filter((tag) => tag.name === "ac-discovery-pubkeys")
    .filter((tag) => prefix === tag.prefix || prefix.startsWith(`${tag.prefix}/`))
    .map((tag) => tag.location);
}
