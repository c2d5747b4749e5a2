/**
 * HTTP for images: one request, its redirects and its body, with the rules that keep secrets and promises. Runs in the fetch worker only.
 *
 * Bun's fetch does the wire; it is told to follow nothing, decode nothing and read no proxy variable, since each of these would act behind our rules.
 */

import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { type ProxySettings, proxyFor } from "./proxy.ts";
import { TransferError } from "./transfer-error.ts";

export interface HttpSettings {
  /** `--insecure-options=tls`. */
  readonly insecureTls: boolean;
  /** `--insecure-options=http`. */
  readonly insecureHttp: boolean;
  readonly proxies: ProxySettings;
  /** PEM text of the host's certificate authorities; undefined: those of the runtime. */
  readonly certificates: string | undefined;
  readonly userAgent: string;
  /** Milliseconds without a byte after which a transfer counts as broken. */
  readonly idleTimeout: number;
}

export interface HttpRequest {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers that hold secrets: sent to the origin of `url` only, never to where it redirects. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
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

/** Sends a GET, follows redirects, and returns whatever status comes. Throws TransferError (NETWORK) and RktError for what is not allowed. */
export async function httpGet(settings: HttpSettings, request: HttpRequest): Promise<HttpReply> {
  let url = request.url;
  for (let redirects = 0; ; redirects += 1) {
    assertAllowed(settings, url);
    // A redirect to another host must not carry the token along: whoever controls a redirect would collect it (CVE-2020-15157 and many others).
    const secrets = url.origin === request.url.origin ? request.secretHeaders : {};
    const reply = await send(settings, url, { ...request.headers, ...secrets }, request.signal);
    const location = reply.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(reply.status) || location === null) return reply;
    reply.discard();
    if (redirects >= MOST_REDIRECTS) {
      throw new RktError("NETWORK", `Cannot fetch ${quoted(redactUrl(request.url))}: too many redirects`);
    }
    url = nextUrl(url, location);
  }
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
  return new TransferError("HTTP_STATUS", `Cannot fetch ${what}: the server answered with status ${reply.status}`, {
    status: reply.status,
    temporary: [408, 425, 429, 500, 502, 503, 504].includes(reply.status),
    retryAfter: retryAfter(reply.headers.get("retry-after")),
  });
}

/** RFC 9110 section 10.2.3: seconds or a date. */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const milliseconds = /^\d{1,6}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) && milliseconds >= 0 ? milliseconds : undefined;
}

function assertAllowed(settings: HttpSettings, url: URL): void {
  if (url.protocol === "https:") return;
  if (url.protocol !== "http:") {
    throw new RktError("INVALID_INPUT", `Cannot fetch ${quoted(redactUrl(url))}: expected an https URL`);
  }
  if (settings.insecureHttp) return;
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

async function send(
  settings: HttpSettings,
  url: URL,
  headers: Readonly<Record<string, string>>,
  outer: AbortSignal | undefined,
): Promise<HttpReply> {
  const watch = watchdog(settings.idleTimeout, outer);
  const proxy = proxyFor(url, settings.proxies);
  let response: Response;
  try {
    response = await fetch(url, {
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
