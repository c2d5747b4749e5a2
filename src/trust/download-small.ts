/** Downloads of keys and discovery pages, in the verify worker: small, checked by the operator's eyes and not by a digest, so the transport is what protects them. */

import { proxyFor } from "../config/proxy.ts";
import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { RKT_VERSION } from "../core/version.ts";
import { authorities } from "../host/certificates.ts";
import type { DownloadRequest } from "./messages.ts";

const MOST_REDIRECTS = 10;
/** rkt 1.x: two minutes for the whole. */
const TIMEOUT = 120_000;

/** The body at `url`, at most `limit` bytes. Throws NETWORK, HTTP_STATUS, INVALID_INPUT (too large, no http URL), UNSUPPORTED (plain http not allowed). */
export async function downloadSmall(request: DownloadRequest): Promise<Buffer> {
  const signal = AbortSignal.timeout(TIMEOUT);
  let url = new URL(request.url);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    // Also after a redirect: from https to http anybody on the way could put their own key in.
    refuseInsecure(url, request.allowHttp);
    const response = await get(url, request, signal);
    const location = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && location !== null) {
      url = new URL(location, url);
      continue;
    }
    if (response.status !== 200) {
      throw new RktError(
        "HTTP_STATUS",
        `Cannot fetch ${quoted(redactUrl(url))}: bad HTTP status code: ${response.status}`,
      );
    }
    return await body(response, url, request.limit);
  }
  throw new RktError("NETWORK", `Cannot fetch ${quoted(redactUrl(request.url))}: too many redirects`);
}

function refuseInsecure(url: URL, allowHttp: boolean): void {
  if (url.protocol === "https:" || (url.protocol === "http:" && allowHttp)) return;
  if (url.protocol === "http:") throw new RktError("UNSUPPORTED", "--insecure-allow-http required for http URLs");
  throw new RktError("INVALID_INPUT", "only local files and http or https URLs supported");
}

async function get(url: URL, request: DownloadRequest, signal: AbortSignal): Promise<Response> {
  const ca = authorities(request.certificates);
  const proxy = proxyFor(url, request.proxies);
  try {
    return await fetch(url, {
      redirect: "manual",
      signal,
      headers: { "User-Agent": `rkt/${RKT_VERSION}` },
      ...(proxy === undefined ? {} : { proxy }),
      tls: { rejectUnauthorized: !request.skipTlsCheck, ...(ca === undefined ? {} : { ca }) },
    });
  } catch (cause) {
    throw new RktError("NETWORK", `Cannot fetch ${quoted(redactUrl(url))}`, { cause });
  }
}

async function body(response: Response, url: URL, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > limit)
      throw new RktError("INVALID_INPUT", `Cannot fetch ${quoted(redactUrl(url))}: larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
