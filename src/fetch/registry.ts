/** A v2 registry (OCI distribution-spec 1.1, "Pull"): reads manifests and blobs. Runs in the fetch worker only. */

import type { RegistryCredentials } from "../config/mod.ts";
import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type Descriptor, MANIFEST_MEDIA_TYPES, MEDIA_TYPE, parseIndex } from "../spec/oci/mod.ts";
import { type HttpReply, readAll, statusError } from "./http.ts";
import { type Job, retryOptions } from "./job.ts";
import { type RegistryClient, registryClient } from "./registry-client.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** distribution-spec, "Pushing manifests": registries need not take more. */
export const LARGEST_DOCUMENT = 4 * 1024 * 1024;

/** Of lists that a server gives in pages. */
const MOST_PAGES = 4;

export interface FetchedDocument {
  readonly bytes: Buffer;
  /** Content-Type, without parameters; undefined when the server sent none. */
  readonly mediaType: string | undefined;
  /** The digest that the server names, if any: a claim. */
  readonly claimed: Digest | undefined;
  /** "" when the server sent none. */
  readonly etag: string;
}

export interface Registry {
  /** A manifest or index by tag or digest; "unchanged" when it is still the one that `etag` came with. Throws NOT_FOUND, AUTHENTICATION, TransferError. */
  manifest(job: Job, version: string): Promise<FetchedDocument>;
  manifest(job: Job, version: string, etag: string): Promise<FetchedDocument | "unchanged">;
  /**
   * What refers to a manifest (distribution-spec, "Listing Referrers"); undefined when the registry has no such API. At most {@link MOST_PAGES} pages are read.
   */
  referrers(job: Job, digest: Digest): Promise<readonly Descriptor[] | undefined>;
  /** A blob's bytes from `offset` on. */
  blob(digest: Digest, offset: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array>;
}

/** What a registry is asked for, and with what. The image keeps the name that it was asked for by, wherever it comes from. */
export interface RegistryPlace {
  readonly registry: string;
  readonly repository: string;
  readonly credentials: RegistryCredentials;
}

/** The registry at `place`, for the image `text`. Nothing is sent before the first call. */
export function openRegistry(job: Job, place: RegistryPlace, text: string): Registry {
  const { registry, repository, credentials } = place;
  const client = registryClient(job, {
    registry,
    credentials,
    scopes: [`repository:${repository}:pull`],
    purpose: `Cannot fetch ${quoted(text)}`,
    withoutCredentials: "wants credentials, or has no such image",
  });
  const manifest = (inner: Job, version: string, etag = "") =>
    withRetries(retryOptions(inner, 3), async () => {
      const path = `/v2/${repository}/manifests/${version}`;
      const headers = { Accept: MANIFEST_MEDIA_TYPES.join(", "), ...(etag === "" ? {} : { "If-None-Match": etag }) };
      const reply = await client.request(path, { headers, signal: inner.signal });
      if (reply.status === 304 && etag !== "") {
        reply.discard();
        return "unchanged";
      }
      if (reply.status !== 200) throw manifestError(reply, registry, text, client);
      const bytes = await readAll(reply, LARGEST_DOCUMENT);
      if (reply.length !== undefined && reply.length !== bytes.length) {
        throw new TransferError("NETWORK", `Cannot fetch ${quoted(text)}: the manifest broke off`, {
          temporary: true,
        });
      }
      return {
        bytes,
        mediaType: reply.headers.get("content-type")?.split(";")[0]?.trim() || undefined,
        claimed: claimedDigest(reply),
        etag: reply.headers.get("etag") ?? "",
      };
    });
  return {
    // Without an etag no server's answer is "unchanged".
    manifest: manifest as Registry["manifest"],
    referrers: (inner, digest) =>
      withRetries(retryOptions(inner, 3), async () => {
        const found: Descriptor[] = [];
        let path: string | undefined = `/v2/${repository}/referrers/${formatDigest(digest)}`;
        for (let pages = 0; path !== undefined && pages < MOST_PAGES; pages += 1) {
          const headers = { Accept: MEDIA_TYPE.ociIndex };
          const reply: HttpReply = await client.request(path, { headers, signal: inner.signal });
          const isList = reply.headers.get("content-type")?.split(";")[0]?.trim() === MEDIA_TYPE.ociIndex;
          if ([400, 404, 405, 501].includes(reply.status) || (reply.status === 200 && !isList)) {
            reply.discard();
            return undefined;
          }
          if (reply.status !== 200) throw statusError(reply, `what refers to ${quoted(text)}`);
          found.push(...parseIndex((await readAll(reply, LARGEST_DOCUMENT)).toString("utf8")).manifests);
          path = nextPage(reply);
        }
        return found;
      }),
    blob: async function* (digest, offset, signal) {
      const path = `/v2/${repository}/blobs/${formatDigest(digest)}`;
      yield* contentFrom(offset, `blob ${formatDigest(digest)}`, (headers) =>
        client.request(path, { headers, signal }),
      );
    },
  };
}

/**
 * The content behind `get` from `offset` on: by a Range request, or, where the server does not know those, by passing over what is known already.
 * Throws TransferError.
 */
export async function* contentFrom(
  offset: number,
  what: string,
  get: (headers: Record<string, string>) => Promise<HttpReply>,
): AsyncGenerator<Uint8Array> {
  let reply = await get(offset > 0 ? { Range: `bytes=${offset}-` } : {});
  if (reply.status === 416) {
    reply.discard();
    reply = await get({});
  }
  let skip = offset;
  if (reply.status === 206) {
    const start = /^bytes (\d+)-/.exec(reply.headers.get("content-range") ?? "")?.[1];
    if (Number(start) !== offset) {
      reply.discard();
      throw new TransferError("NETWORK", `Cannot fetch ${what}: the server sent another part than asked for`, {
        temporary: true,
      });
    }
    skip = 0;
  } else if (reply.status !== 200) {
    throw statusError(reply, what);
  }
  for await (const chunk of reply.body()) {
    const passed = Math.min(skip, chunk.length);
    skip -= passed;
    if (passed < chunk.length) yield chunk.subarray(passed);
  }
}

/** RFC 8288. A path of this registry only: whoever answers does not choose where our credentials go. */
function nextPage(reply: HttpReply): string | undefined {
  const target = /^<([^>]*)>\s*;\s*rel="?next"?/.exec(reply.headers.get("link") ?? "")?.[1];
  if (target === undefined || !URL.canParse(target, reply.url.href)) return undefined;
  const url = new URL(target, reply.url);
  return url.origin === reply.url.origin && url.pathname.startsWith("/v2/") ? url.pathname + url.search : undefined;
}

function claimedDigest(reply: HttpReply): Digest | undefined {
  const header = reply.headers.get("docker-content-digest");
  try {
    return header === null ? undefined : parseDigest(header);
  } catch {
    return undefined;
  }
}

function manifestError(reply: HttpReply, registry: string, text: string, client: RegistryClient): RktError {
  if (reply.status !== 404 && reply.status !== 403) return statusError(reply, quoted(text));
  reply.discard();
  if (reply.status === 403) return client.refused();
  return new RktError("NOT_FOUND", `Cannot fetch ${quoted(text)}: ${quoted(registry)} has no such image`);
}
