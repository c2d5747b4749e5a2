/**
 * What a registry and its token server answer, as a decoder for the fuzzer: the client of the fetch worker in this very process, over a conversation that was made up instead of
 * a line. Input: JSON, a list of answers. Promised: secrets reach their own server only, and no conversation goes on for ever.
 */

import { NO_PROXIES } from "../../src/config/proxy.ts";
import { parseDigest } from "../../src/core/digest.ts";
import { RktError } from "../../src/core/errors.ts";
import type { HttpSettings } from "../../src/fetch/http.ts";
import type { Job } from "../../src/fetch/job.ts";
import { openRegistry } from "../../src/fetch/registry.ts";
import { collectFromRegistry } from "../../src/fetch/registry-signatures.ts";
import { signatureCollector } from "../../src/fetch/signature-collector.ts";
import { SIGNATURE_LIMITS, sizeOfSet } from "../../src/spec/oci/signature-set.ts";
import { conversations } from "./decoder-examples.ts";
import { BrokenPromise, type Decoder } from "./fuzz.ts";
import { mutateJson } from "./mutate.ts";
import { pick, type Random } from "./random.ts";

const HOST = "registry.example.com";
const PASSWORD = "the-password";
const SUBJECT = parseDigest(`sha256:${"0123456789abcdef".repeat(4)}`);
/** Redirects, challenges, pages and 16 signatures: nothing honest comes near. */
const MOST_REQUESTS = 400;

interface Made {
  readonly status: number;
  readonly headers: readonly [string, string][];
  readonly body: string;
}

export function registryDecoder(): Decoder {
  return {
    name: "answers of a registry",
    make: (random) => mutateJson(random, conversations),
    decode: (input, random) => converse(answersIn(input.toString("utf8")), random),
  };
}

async function converse(answers: readonly Made[], random: Random): Promise<unknown> {
  const line = globalThis.fetch;
  let asked = 0;
  globalThis.fetch = (async (target: URL | Request | string, options?: RequestInit) => {
    const answer = answers[asked % answers.length];
    asked += 1;
    checkRequest(new URL(String(target)), new Headers(options?.headers), options?.body, asked);
    if (answer === undefined) throw Object.assign(new Error("broke off"), { code: "ECONNRESET" });
    return new Response(answer.body === "" ? null : answer.body, {
      status: answer.status,
      headers: [...answer.headers],
    });
  }) as typeof fetch;
  try {
    return await ask(random);
  } finally {
    globalThis.fetch = line;
  }
}

async function ask(random: Random): Promise<unknown> {
  const job: Job = {
    cas: { blobs: "/nonexistent", downloads: "/nonexistent" },
    http: SETTINGS,
    emit: () => {},
    signal: undefined,
    pace: 0,
    mostAttempts: random() < 0.1 ? 2 : 1,
  };
  const credentials = pick(random, [
    {},
    { basic: { user: "user", password: PASSWORD } },
    { bearer: PASSWORD },
    { refreshToken: PASSWORD },
  ]);
  const registry = openRegistry(job, { registry: HOST, repository: "team/app", credentials }, `docker://${HOST}/a`);
  switch (pick(random, ["manifest", "known", "referrers", "blob", "signatures"] as const)) {
    case "manifest":
      return registry.manifest(job, "1.0");
    case "known":
      return registry.manifest(job, "1.0", '"known"');
    case "referrers":
      return registry.referrers(job, SUBJECT);
    case "blob": {
      let size = 0;
      for await (const chunk of registry.blob(SUBJECT, random() < 0.5 ? 0 : 5, undefined)) size += chunk.length;
      return size;
    }
    case "signatures": {
      const collector = signatureCollector(job, []);
      await collectFromRegistry(job, registry, [SUBJECT], collector);
      const found = collector.result();
      const { documents, all } = SIGNATURE_LIMITS;
      if (found.documents.length > documents || sizeOfSet(found) > all) throw new BrokenPromise("too many signatures");
      return found;
    }
  }
}

/** Whoever answers can name any token server: what it may then have is the registry's own password for itself, but never over plain http, and no header of ours that it chose. */
function checkRequest(url: URL, headers: Headers, body: RequestInit["body"], asked: number): void {
  if (asked > MOST_REQUESTS) throw new BrokenPromise(`more than ${MOST_REQUESTS} requests`);
  if (url.protocol !== "https:") throw new BrokenPromise(`a request by ${url.protocol}`);
  if (url.username !== "" || url.password !== "") throw new BrokenPromise("credentials that the server chose");
  const authorization = headers.get("authorization");
  if (authorization === `Bearer ${PASSWORD}` && url.host !== HOST) throw new BrokenPromise(`the token for ${url.host}`);
  const isToken = url.searchParams.has("scope") || body !== undefined;
  if (isToken && body === undefined && url.searchParams.getAll("scope").join() !== "repository:team/app:pull")
    throw new BrokenPromise(`a token for ${url.search}`);
}

const SETTINGS: HttpSettings = {
  insecureTls: false,
  insecureHttp: false,
  proxies: NO_PROXIES,
  certificates: undefined,
  userAgent: "rkt",
  idleTimeout: 10_000,
};

/** What could come over a line at all: the runtime has refused other statuses and headers before our code sees them. */
function answersIn(text: string): Made[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "no JSON", { cause });
  }
  if (!Array.isArray(list)) throw new RktError("INVALID_INPUT", "no list");
  return list.flatMap((one: unknown): Made[] => {
    if (typeof one !== "object" || one === null) return [];
    const { status, headers, body } = one as Record<string, unknown>;
    if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599) return [];
    const text = typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body);
    const empty = [204, 205, 304].includes(status);
    return [{ status, headers: headersIn(headers), body: empty ? "" : text }];
  });
}

function headersIn(headers: unknown): [string, string][] {
  if (typeof headers !== "object" || headers === null) return [];
  return Object.entries(headers).flatMap(([name, value]): [string, string][] => {
    if (typeof value !== "string" && typeof value !== "number") return [];
    const text = String(value);
    return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(text) ? [[name, text]] : [];
  });
}
