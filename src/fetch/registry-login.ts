/** Proves to a registry who we are: basic, or a bearer token from the server that it names (distribution, "Token Authentication Specification"). */

import type { RegistryCredentials } from "../config/mod.ts";
import { RktError } from "../core/errors.ts";
import { isObject } from "../core/json.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { parseChallenges } from "./challenge.ts";
import { type HttpReply, httpGet, readAll, statusError } from "./http.ts";
import { debug, type Job, retryOptions } from "./job.ts";
import { withRetries } from "./transfer-error.ts";

export interface LoginTarget {
  /** host[:port]; the credentials are used for nothing else. */
  readonly registry: string;
  readonly credentials: RegistryCredentials;
  /** What a token must allow: "repository:NAME:pull". */
  readonly scopes: readonly string[];
}

export interface RegistryLogin {
  readonly hasCredentials: boolean;
  /** The Authorization header as known so far. */
  headers(): Record<string, string>;
  /** Does what a 401 from `url` asks for. `used`: the headers that were refused. Throws AUTHENTICATION, TransferError. */
  answer(url: URL, challenge: string, used: Record<string, string>): Promise<void>;
}

const LARGEST_TOKEN = 64 * 1024;

export function registryLogin(job: Job, target: LoginTarget): RegistryLogin {
  const { basic, bearer, refreshToken } = target.credentials;
  let authorization = bearer === undefined ? undefined : `Bearer ${headerText(bearer)}`;
  /** Layers in parallel run into an expired token together: one of them renews it. */
  let renewing: Promise<string> | undefined;
  return {
    hasCredentials: basic !== undefined || bearer !== undefined || refreshToken !== undefined,
    headers: () => (authorization === undefined ? {} : { Authorization: authorization }),
    async answer(url, header, used) {
      if (used.Authorization !== authorization) return; // Renewed meanwhile.
      renewing ??= authorize(job, target, url, header).finally(() => {
        renewing = undefined;
      });
      authorization = await renewing;
    },
  };
}

/** The Authorization header that satisfies the challenge. */
async function authorize(job: Job, target: LoginTarget, url: URL, header: string): Promise<string> {
  const challenges = parseChallenges(header);
  const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
  if (bearer !== undefined) return `Bearer ${await fetchToken(job, target, url, bearer.parameters)}`;
  const { basic } = target.credentials;
  if (challenges.some((challenge) => challenge.scheme === "basic") && basic !== undefined) return basicHeader(basic);
  const offers = challenges.map((challenge) => challenge.scheme).join(", ");
  throw new RktError(
    "AUTHENTICATION",
    `Cannot log in to ${quoted(target.registry)}: it wants credentials (${offers || "it does not say which"}), and there are none that fit`,
    { hint: CREDENTIALS_HINT },
  );
}

export const CREDENTIALS_HINT =
  "credentials for a registry stand in /etc/rkt/auth.d (rktKind dockerAuth), or come from `docker login` (docs/registries.md)";

async function fetchToken(
  job: Job,
  target: LoginTarget,
  registryUrl: URL,
  parameters: ReadonlyMap<string, string>,
): Promise<string> {
  const realm = realmUrl(target.registry, registryUrl, parameters.get("realm") ?? "");
  const service = parameters.get("service");
  const { basic, refreshToken } = target.credentials;
  debug(job, `asking ${redactUrl(realm)} for a token`);
  const body = await withRetries(retryOptions(job), async () => {
    const reply =
      refreshToken === undefined
        ? await tokenByGet(job, target, realm, service)
        : await tokenByRefresh(job, target, realm, service, refreshToken);
    if ([400, 401, 403].includes(reply.status)) {
      reply.discard();
      const none = basic === undefined && refreshToken === undefined;
      throw new RktError(
        "AUTHENTICATION",
        `Cannot log in to ${quoted(target.registry)}: ${quoted(realm.host)} ${none ? "gives no token without credentials" : "refused the credentials"}`,
        none ? { hint: CREDENTIALS_HINT } : {},
      );
    }
    if (reply.status !== 200) throw statusError(reply, `a token from ${quoted(realm.host)}`);
    return readAll(reply, LARGEST_TOKEN);
  });
  return tokenIn(body.toString("utf8"), realm);
}

/** The scopes are ours, whatever the challenge says: a registry must not send us for a token to somebody else's repository, or for more than we mean to do. */
function tokenByGet(job: Job, target: LoginTarget, realm: URL, service: string | undefined): Promise<HttpReply> {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.delete("scope");
  for (const scope of target.scopes) url.searchParams.append("scope", scope);
  const { basic } = target.credentials;
  return httpGet(job.http, {
    url,
    headers: { Accept: "application/json" },
    secretHeaders: basic === undefined ? {} : { Authorization: basicHeader(basic) },
    signal: job.signal,
  });
}

/** An identity token in exchange for a short-lived one (distribution, "OAuth2 Token Authentication"): in the body, where no log has it. */
function tokenByRefresh(
  job: Job,
  target: LoginTarget,
  realm: URL,
  service: string | undefined,
  refreshToken: string,
): Promise<HttpReply> {
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    service: service ?? "",
    client_id: "rkt",
    scope: target.scopes.join(" "),
    refresh_token: refreshToken,
  });
  return httpGet(job.http, {
    url: realm,
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" },
    secretBody: Buffer.from(form.toString()),
    signal: job.signal,
  });
}

/** The server to ask for a token. It gets the password: never over a connection less safe than the one to the registry itself. */
function realmUrl(registry: string, registryUrl: URL, text: string): URL {
  let realm: URL;
  try {
    realm = new URL(text);
  } catch (cause) {
    throw new RktError("AUTHENTICATION", `Cannot log in to ${quoted(registry)}: it names no token server`, { cause });
  }
  if (realm.protocol !== "https:" && (realm.protocol !== "http:" || registryUrl.protocol !== "http:")) {
    throw new RktError(
      "AUTHENTICATION",
      `Cannot log in to ${quoted(registry)}: its token server is ${quoted(redactUrl(realm))}, expected an https URL`,
    );
  }
  realm.username = "";
  realm.password = "";
  return realm;
}

function tokenIn(json: string, realm: URL): string {
  let answer: unknown;
  try {
    answer = JSON.parse(json);
  } catch {
    answer = undefined;
  }
  if (isObject(answer)) {
    for (const name of ["token", "access_token"]) {
      const token = Object.hasOwn(answer, name) ? answer[name] : undefined;
      if (typeof token === "string" && token !== "") return headerText(token);
    }
  }
  throw new RktError(
    "AUTHENTICATION",
    `Cannot use the answer of the token server ${quoted(realm.host)}: it holds no token`,
  );
}

function basicHeader(basic: { user: string; password: string }): string {
  return `Basic ${Buffer.from(`${basic.user}:${basic.password}`, "utf8").toString("base64")}`;
}

/** A line break in a token would start another header. */
function headerText(token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new RktError("AUTHENTICATION", "Cannot use a bearer token: it holds characters that no token has");
}
