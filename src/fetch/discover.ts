/** App Container image discovery (spec/discovery.md) in the fetch worker: asks the pages that may know a name, and reads two kinds of tags of them. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { formatAppString } from "../spec/appc/app-string.ts";
import { discoveryPlaces, discoveryUrl, type ImageEndpoint, imageEndpoints } from "../spec/appc/discovery.ts";
import { discoveryTags } from "../spec/appc/meta-tags.ts";
import { httpGet, readAll, statusError } from "./http.ts";
import { debug, type Job, retryOptions } from "./job.ts";
import type { DiscoverRequest } from "./messages.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** A page with a few tags has a few hundred bytes. */
const LARGEST_PAGE = 1024 * 1024;
/** An endless list of servers to try would keep a fetch busy for ever. */
const MOST_ENDPOINTS = 32;

/**
 * The endpoints of the first page that has some for the name, from the whole name up to its host: over https, and then over http where the operator allowed it.
 * Throws NOT_FOUND when no page has, NETWORK when the host cannot be reached.
 */
export async function discover(job: Job, request: DiscoverRequest): Promise<ImageEndpoint[]> {
  debug(job, `searching for app image ${request.name}`);
  let unreachable: RktError | undefined;
  let answered = false;
  for (const scheme of request.insecureHttp ? (["https", "http"] as const) : (["https"] as const)) {
    try {
      for (const [index, place] of discoveryPlaces(request.name).entries()) {
        // Never over plain http: anybody on the way could read them.
        const secretHeaders = scheme === "https" ? (request.headers[index] ?? {}) : {};
        const endpoints = await endpointsAt(job, request, { url: new URL(discoveryUrl(scheme, place)), secretHeaders });
        if (endpoints.length > 0) return endpoints.slice(0, MOST_ENDPOINTS);
      }
      answered = true;
    } catch (error) {
      // The host is the same for all places: what cannot be reached once is not asked again.
      if (!(error instanceof TransferError)) throw error;
      unreachable ??= error;
    }
  }
  const what = `discovery failed for ${quoted(formatAppString(request))}`;
  const docker = dockerHint(request.name);
  if (!answered && unreachable !== undefined)
    throw new RktError(unreachable.code, `${what}: ${unreachable.message}`, docker);
  const hint = "no page of its host has a tag ac-discovery for it; a URL, a file or docker:// names an image directly";
  throw new RktError("NOT_FOUND", `${what}: no endpoints discovered`, docker ?? { hint });
}

/** For whoever comes from Docker: a name without a domain is nobody's to ask. */
function dockerHint(name: string): { readonly hint: string } | undefined {
  const [host = ""] = name.split("/");
  if (host.includes(".") || host === "localhost") return undefined;
  return { hint: `its name has no domain to ask; an image of Docker's registry is docker://${name}` };
}

interface Page {
  readonly url: URL;
  readonly secretHeaders: Readonly<Record<string, string>>;
}

/** None when the page is not there, is no page, or has no tag for the name. Throws TransferError when the host cannot be reached. */
async function endpointsAt(job: Job, wanted: DiscoverRequest, page: Page): Promise<ImageEndpoint[]> {
  const place = `${page.url.host}${page.url.pathname.replace(/\/$/, "")}`;
  try {
    const endpoints = imageEndpoints(discoveryTags(await readPage(job, page)), wanted);
    if (endpoints.length === 0) debug(job, `meta tag 'ac-discovery' not found on ${place}`);
    return endpoints;
  } catch (error) {
    if (!(error instanceof RktError) || (error instanceof TransferError && error.status === undefined)) throw error;
    debug(job, `meta tag 'ac-discovery' not found on ${place}: ${error.message}`);
    return [];
  }
}

async function readPage(job: Job, page: Page): Promise<string> {
  const bytes = await withRetries(retryOptions(job, 3), async () => {
    const reply = await httpGet(job.http, { ...page, signal: job.signal });
    if (reply.status !== 200) throw statusError(reply, quoted(page.url.toString()));
    return readAll(reply, LARGEST_PAGE);
  });
  return bytes.toString("utf8");
}
