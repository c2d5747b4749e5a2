/**
 * Requests to one v2 registry (OCI distribution-spec 1.1): finds out how it is spoken to, proves who we are when it asks, and says no more than that. Runs in
 * workers only.
 */

import type { RegistryCredentials } from "../config/mod.ts";
import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { type HttpReply, type HttpRequest, httpGet, statusError } from "./http.ts";
import { debug, type Job } from "./job.ts";
import { CREDENTIALS_HINT, registryLogin } from "./registry-login.ts";
import { TransferError } from "./transfer-error.ts";

/** Milliseconds to find out whether a registry speaks https. */
const PROBE_TIMEOUT = 10_000;

export interface RegistryTarget {
  /** host[:port]. */
  readonly registry: string;
  readonly credentials: RegistryCredentials;
  readonly scopes: readonly string[];
  /** For errors: "Cannot fetch "docker://…"". */
  readonly purpose: string;
  /** For errors, of a refusal without credentials: "wants credentials, or has no such image". */
  readonly withoutCredentials: string;
}

export interface RegistryClient {
  readonly hasCredentials: boolean;
  /**
   * Sends a request with the authorization of the moment, and once more after a challenge. `place`: a path, or a URL that the registry named: one of another
   * server gets no credentials. Returns whatever status comes but 401. Throws AUTHENTICATION, TransferError.
   */
  request(place: string | URL, request?: Omit<HttpRequest, "url" | "secretHeaders">): Promise<HttpReply>;
  /** The error for a status that denies. */
  refused(): RktError;
}

/** Connects at the first request: https first, and plain http only where the operator allowed it. */
export function registryClient(job: Job, target: RegistryTarget): RegistryClient {
  const login = registryLogin(job, target);
  /** Found once, also where several requests begin together. */
  let located: Promise<URL> | undefined;
  const refused = () =>
    new RktError(
      "AUTHENTICATION",
      `${target.purpose}: ${quoted(target.registry)} ${login.hasCredentials ? "refused the credentials" : target.withoutCredentials}`,
      { hint: CREDENTIALS_HINT },
    );
  return {
    hasCredentials: login.hasCredentials,
    refused,
    async request(place, request = {}) {
      located ??= locate(job, target.registry).catch((error: unknown) => {
        located = undefined;
        throw error;
      });
      const root = await located;
      const url = new URL(place, root);
      const ours = url.origin === root.origin;
      const send = () => httpGet(job.http, { ...request, url, secretHeaders: ours ? login.headers() : {} });
      const used = login.headers();
      const reply = await send();
      if (reply.status !== 401) return reply;
      // A 401 from somewhere that we were sent to asks for credentials that are not that server's business.
      if (!ours || reply.url.origin !== url.origin) throw statusError(reply, quoted(redactUrl(url)));
      reply.discard();
      await login.answer(url, reply.headers.get("www-authenticate") ?? "", used);
      const second = await send();
      if (second.status !== 401) return second;
      second.discard();
      throw refused();
    },
  };
}

async function locate(job: Job, registry: string): Promise<URL> {
  const secure = new URL(`https://${registry}/`);
  const plain = new URL(`http://${registry}/`);
  if (!job.http.insecureHttp && job.http.plainHosts?.includes(plain.host) !== true) return secure;
  try {
    // Something that is no TLS server may keep silent: that must not take as long as a broken download.
    const http = { ...job.http, idleTimeout: Math.min(job.http.idleTimeout, PROBE_TIMEOUT) };
    (await httpGet(http, { url: new URL("/v2/", secure), signal: job.signal })).discard();
    return secure;
  } catch (error) {
    if (!(error instanceof TransferError)) throw error;
    debug(job, `${error.message}; trying http`);
    return plain;
  }
}
