/** A v2 registry (OCI distribution-spec 1.1, "Pull"): finds it, proves who we are, reads manifests and blobs. Runs in the fetch worker only. */

import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { MANIFEST_MEDIA_TYPES } from "../spec/oci/mod.ts";
import type { DockerReference } from "./docker-reference.ts";
import { type HttpReply, httpGet, readAll, statusError } from "./http.ts";
import { debug, type Job, retryOptions } from "./job.ts";
import { type RegistryCredentials, registryLogin } from "./registry-login.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** distribution-spec, "Pushing manifests": registries need not take more. */
export const LARGEST_DOCUMENT = 4 * 1024 * 1024;

/** Milliseconds to find out whether a registry speaks https. */
const PROBE_TIMEOUT = 10_000;

export interface FetchedDocument {
  readonly bytes: Buffer;
  /** Content-Type, without parameters; undefined when the server sent none. */
  readonly mediaType: string | undefined;
  /** The digest that the server names, if any: a claim. */
  readonly claimed: Digest | undefined;
}

export interface Registry {
  /** A manifest or index by tag or digest. Throws NOT_FOUND, AUTHENTICATION, TransferError. */
  manifest(job: Job, version: string): Promise<FetchedDocument>;
  /** A blob's bytes from `offset` on. */
  blob(digest: Digest, offset: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array>;
}

/** Connects to the registry of `reference`: https first, and plain http only where the operator allowed it. Throws TransferError. */
export function openRegistry(job: Job, reference: DockerReference, credentials: RegistryCredentials): Registry {
  const { registry, repository, text } = reference;
  let base: URL | undefined;
  const login = registryLogin(job, { registry, repository, credentials });

  /** One GET with the authorization of the moment, repeated once after a challenge. */
  const get = async (path: string, headers: Record<string, string>, signal: AbortSignal | undefined) => {
    const root = base ?? (await locate());
    base = root;
    const url = new URL(path, root);
    const attempt = () => httpGet(job.http, { url, headers, secretHeaders: login.headers(), signal });
    const used = login.headers();
    const reply = await attempt();
    if (reply.status !== 401) return reply;
    // A 401 from somewhere that we were redirected to asks for credentials that are not that server's business.
    if (reply.url.origin !== url.origin) throw statusError(reply, quoted(redactUrl(url)));
    reply.discard();
    await login.answer(url, reply.headers.get("www-authenticate") ?? "", used);
    const second = await attempt();
    if (second.status === 401) {
      second.discard();
      throw refused(registry, text, login.hasCredentials);
    }
    return second;
  };

  const locate = async (): Promise<URL> => {
    const secure = new URL(`https://${registry}/`);
    if (!job.http.insecureHttp) return secure;
    try {
      // Something that is no TLS server may keep silent: that must not take as long as a broken download.
      const http = { ...job.http, idleTimeout: Math.min(job.http.idleTimeout, PROBE_TIMEOUT) };
      (await httpGet(http, { url: new URL("/v2/", secure), signal: job.signal })).discard();
      return secure;
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      debug(job, `${error.message}; trying http`);
      return new URL(`http://${registry}/`);
    }
  };

  return {
    manifest: (inner, version) =>
      withRetries(retryOptions(inner, 3), async () => {
        const path = `/v2/${repository}/manifests/${version}`;
        const reply = await get(path, { Accept: MANIFEST_MEDIA_TYPES.join(", ") }, inner.signal);
        if (reply.status !== 200) throw manifestError(reply, reference, login.hasCredentials);
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
        };
      }),
    blob: async function* (digest, offset, signal) {
      const path = `/v2/${repository}/blobs/${formatDigest(digest)}`;
      yield* contentFrom(offset, `blob ${formatDigest(digest)}`, (headers) => get(path, headers, signal));
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

function claimedDigest(reply: HttpReply): Digest | undefined {
  const header = reply.headers.get("docker-content-digest");
  try {
    return header === null ? undefined : parseDigest(header);
  } catch {
    return undefined;
  }
}

function manifestError(reply: HttpReply, reference: DockerReference, hasCredentials: boolean): RktError {
  if (reply.status === 404) {
    reply.discard();
    return new RktError(
      "NOT_FOUND",
      `Cannot fetch ${quoted(reference.text)}: ${quoted(reference.registry)} has no such image`,
    );
  }
  if (reply.status === 403) {
    reply.discard();
    return refused(reference.registry, reference.text, hasCredentials);
  }
  return statusError(reply, quoted(reference.text));
}

function refused(registry: string, text: string, hasCredentials: boolean): RktError {
  return new RktError(
    "AUTHENTICATION",
    `Cannot fetch ${quoted(text)}: ${quoted(registry)} ${hasCredentials ? "refused the credentials" : "wants credentials, or has no such image"}`,
    { hint: "credentials for a registry stand in /etc/rkt/auth.d (rktKind dockerAuth)" },
  );
}
