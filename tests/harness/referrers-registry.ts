/** A registry with the referrers API of OCI 1.1, which Debian's does not have: it passes everything on to that one, and answers for the referrers itself. */

import type { Artifact } from "./oci-push.ts";
import type { TestRegistry } from "./registry.ts";

export interface ReferrersRegistry {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** Paths that were asked for. */
  readonly requests: string[];
  /** What refers to a digest; pages of two. */
  readonly referrers: Map<string, Artifact[]>;
  [Symbol.dispose](): void;
}

const PAGE = 2;

export function withReferrers(registry: TestRegistry): ReferrersRegistry {
  const referrers = new Map<string, Artifact[]>();
  const requests: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const url = new URL(request.url);
      requests.push(url.pathname);
      const digest = /^\/v2\/.*\/referrers\/(sha256:[0-9a-f]{64})$/.exec(url.pathname)?.[1];
      if (digest === undefined) {
        const { method, headers } = request;
        const body = method === "GET" || method === "HEAD" ? null : await request.arrayBuffer();
        return fetch(`${registry.url}${url.pathname}${url.search}`, { method, headers, body, redirect: "manual" });
      }
      const start = Number(url.searchParams.get("from") ?? 0);
      const all = referrers.get(digest) ?? [];
      const next = start + PAGE < all.length ? { Link: `<${url.pathname}?from=${start + PAGE}>; rel="next"` } : {};
      const mediaType = "application/vnd.oci.image.index.v1+json";
      const index = { schemaVersion: 2, mediaType, manifests: all.slice(start, start + PAGE) };
      return new Response(JSON.stringify(index), { headers: { "Content-Type": mediaType, ...next } });
    },
  });
  return { host: `127.0.0.1:${server.port}`, requests, referrers, [Symbol.dispose]: () => void server.stop(true) };
}
