/**
 * HTTP for images: one request, its redirects and its body, with the rules that keep secrets and promises. Runs in the fetch worker only.
 *
 * Bun's fetch does the wire; it is told to follow nothing, decode nothing and read no proxy variable, since each of these would act behind our rules.
 */

import { type AwsKeys, signAwsRequest } from "../config/aws-signature.ts";
import { type ProxySettings, proxyFor } from "../config/proxy.ts";
import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { waitTime } from "./rate-limit.ts";
import { TransferError } from "./transfer-error.ts";

export interface HttpSettings {
  /** `--insecure-options=tls`. */
  readonly insecureTls: boolean;
  /** `--insecure-options=http`. */
  readonly insecureHttp: boolean;
  /** Hosts (host[:port]) that may be spoken to without TLS all the same. */
  readonly plainHosts?: readonly string[];
  /** A certificate of ours, for this one host (host[:port]); PEM. */
  readonly client?: { readonly host: string; readonly certificate: string; readonly key: string } | undefined;
  /** Keys that sign every GET of one https host (host[:port]). */
  readonly aws?: { readonly host: string; readonly keys: AwsKeys } | undefined;
  readonly proxies: ProxySettings;
  /** PEM text of the host's certificate authorities; undefined: those of the runtime. */
  readonly certificates: string | undefined;
  readonly userAgent: string;
  /** Milliseconds without a byte after which a transfer counts as broken. */
  readonly idleTimeout: number;
}

export interface HttpRequest {
  readonly url: URL;
  /** Default: GET. */
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  /** Called once for each time that the request is sent. Its length stands in the header Content-Length. */
  readonly body?: Uint8Array | (() => AsyncGenerator<Uint8Array>);
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers that hold secrets: sent to the origin of `url` only, never to where it redirects. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
  /** A body that holds secrets: likewise. */
  readonly secretBody?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: Headers;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** The body's length, if the server says one. */
  readonly length: number | undefined;
  /** The body, once. Throws TransferError when it breaks off. */
  body(): AsyncGenerator<Uint8Array>;
  /** Ends the transfer of a body that nobody reads. */
  discard(): void;
}

const MOST_REDIRECTS = 10;

/**
 * Sends a request (GET unless it says otherwise), follows redirects, and returns whatever status comes. Throws TransferError (NETWORK) and RktError for what is
 * not allowed.
 */
export async function httpGet(settings: HttpSettings, request: HttpRequest): Promise<HttpReply> {
  let url = request.url;
  const reads = request.method === undefined || request.method === "GET" || request.method === "HEAD";
  for (let redirects = 0; ; redirects += 1) {
    assertAllowed(settings, url);
    // A redirect to another host must not carry the token along: whoever controls a redirect would collect it (CVE-2020-15157 and many others).
    const secrets =
      url.origin === request.url.origin ? { ...request.secretHeaders, ...signed(settings, url, reads) } : {};
    const reply = await send(settings, { ...request, url, headers: { ...request.headers, ...secrets } });
    const location = reply.headers.get("location");
    // What writes is only repeated elsewhere where the server says so expressly (RFC 9110, 15.4).
    const followed = reads ? [301, 302, 303, 307, 308] : [307, 308];
    if (!followed.includes(reply.status) || location === null) return reply;
    const next = nextUrl(url, location);
    if (request.secretBody !== undefined && next.origin !== url.origin) return reply;
    reply.discard();
    if (redirects >= MOST_REDIRECTS) {
      throw new RktError("NETWORK", `Cannot fetch ${quoted(redactUrl(request.url))}: too many redirects`);
    }
    url = next;
  }
}

/** A signature is for one path and some minutes: made when the request is sent. */
function signed({ aws }: HttpSettings, url: URL, reads: boolean): Readonly<Record<string, string>> {
  return aws?.host === url.host && url.protocol === "https:" && reads ? signAwsRequest(aws.keys, url, new Date()) : {};
}

/** Reads a body that must be small. Throws INVALID_INPUT above `limit` bytes. */
export async function readAll(reply: HttpReply, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of reply.body()) {
    size += chunk.length;
    if (size > limit) {
      throw new RktError(
        "INVALID_INPUT",
        `Cannot read the answer of ${quoted(redactUrl(reply.url))}: it is longer than ${limit} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The error for an answer whose status ends the request. */
export function statusError(reply: HttpReply, what: string): TransferError {
  reply.discard();
  const { retryAfter, words } = waitTime(reply.status, reply.headers, Date.now());
  return new TransferError(
    "HTTP_STATUS",
    `Cannot fetch ${what}: the server answered with status ${reply.status}${words === "" ? "" : ` (${words})`}`,
    { status: reply.status, temporary: [408, 425, 429, 500, 502, 503, 504].includes(reply.status), retryAfter },
  );
}

function assertAllowed(settings: HttpSettings, url: URL): void {
  if (url.protocol === "https:") return;
  if (url.protocol !== "http:") {
    throw new RktError("INVALID_INPUT", `Cannot fetch ${quoted(redactUrl(url))}: expected an https URL`);
  }
  if (settings.insecureHttp || settings.plainHosts?.includes(url.host) === true) return;
  throw new RktError("INVALID_INPUT", `Cannot fetch ${quoted(redactUrl(url))}: plain http is not allowed`, {
    hint: "use https, or --insecure-options=http",
  });
}

function nextUrl(from: URL, location: string): URL {
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    throw new RktError("INVALID_INPUT", `Cannot follow the redirect of ${quoted(redactUrl(from))}: it names no URL`);
  }
  // Whoever redirects does not choose credentials for us.
  url.username = "";
  url.password = "";
  return url;
}

async function send(settings: HttpSettings, request: HttpRequest): Promise<HttpReply> {
  const { url, method = "GET", headers, signal: outer, body = request.secretBody } = request;
  const client = settings.client?.host === url.host ? settings.client : undefined;
  const watch = watchdog(settings.idleTimeout, outer);
  const proxy = proxyFor(url, settings.proxies);
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      ...(body === undefined ? {} : { body: bodyOf(body, watch) }),
      // identity: a digest covers the bytes as stored, so nothing on the way may encode them.
      headers: { "User-Agent": settings.userAgent, "Accept-Encoding": "identity", ...headers },
      redirect: "manual",
      decompress: false,
      signal: watch.signal,
      // Bun's own timeout counts the whole transfer; ours counts silence.
      timeout: false,
      ...(proxy === undefined ? {} : { proxy }),
      tls: {
        rejectUnauthorized: !settings.insecureTls,
        ...(settings.certificates === undefined ? {} : { ca: settings.certificates }),
        ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
      },
    } as RequestInit);
  } catch (error) {
    watch.stop();
    throw networkError(url, error, outer);
  }
  watch.stop();
  return {
    status: response.status,
    headers: response.headers,
    url,
    length: contentLength(response.headers),
    body: () => readBody(response, url, watch, outer),
    discard: () => void response.body?.cancel().catch(() => {}),
  };
}

/** Every piece that the server took counts as a sign of life. */
function bodyOf(
  body: NonNullable<HttpRequest["body"]>,
  watch: Watchdog,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  const pieces = body();
  return new ReadableStream({
    async pull(controller) {
      watch.start();
      const { done, value } = await pieces.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await pieces.return(undefined)),
  });
}

function contentLength(headers: Headers): number | undefined {
  const value = headers.get("content-length");
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

async function* readBody(
  response: Response,
  url: URL,
  watch: Watchdog,
  outer: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      watch.start();
      const { done, value } = await reader.read();
      watch.stop();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw networkError(url, error, outer);
  } finally {
    watch.stop();
    reader.cancel().catch(() => {});
  }
}

interface Watchdog {
  readonly signal: AbortSignal;
  start(): void;
  stop(): void;
}

/** Aborts the transfer after `timeout` of silence, or when `outer` says so. Runs from the start; stopped while the caller is busy with a chunk. */
function watchdog(timeout: number, outer: AbortSignal | undefined): Watchdog {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => clearTimeout(timer);
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(`no data for ${timeout / 1000} s`)), timeout);
  };
  start();
  return { signal: outer === undefined ? silence.signal : AbortSignal.any([silence.signal, outer]), start, stop };
}

function networkError(url: URL, error: unknown, outer: AbortSignal | undefined): unknown {
  if (outer?.aborted === true) return outer.reason;
  if (error instanceof RktError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words = error instanceof Error ? error.message : String(error);
  const where = quoted(redactUrl(url));
  if (/CERT|UNABLE_TO_|SELF_SIGNED|ALTNAME/.test(code)) {
    return new TransferError("NETWORK", `Cannot reach ${where}: its certificate is not trusted (${code})`, {
      temporary: false,
      cause: error,
      hint: "add its authority to the host's certificates, or use --insecure-options=tls",
    });
  }
  const reason = WORDS[code] ?? (code === "" ? words : code);
  return new TransferError("NETWORK", `Cannot reach ${where}: ${reason}`, { temporary: true, cause: error });
}

/** The codes that an operator meets daily, in words. */
const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no address is known for the host",
  EAI_AGAIN: "the name server does not answer",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection broke off",
  ETIMEDOUT: "the connection timed out",
};
