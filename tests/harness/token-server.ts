/** A token server (distribution, "Token Authentication Specification") that a real registry believes: it signs what it grants with its certificate's key. */

import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface TokenRequest {
  readonly method: string;
  /** Every `scope`, split at blanks. */
  readonly scopes: readonly string[];
  /** How the client said who it is: "basic USER:PASSWORD", "refresh TOKEN", "nobody". */
  readonly who: string;
}

export interface TokenServer {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  readonly certificate: string;
  readonly requests: TokenRequest[];
  [Symbol.dispose](): void;
}

/** `certificate`: PEM file, the key beside it as key.pem. `accepts`: the words of {@link TokenRequest.who} that get what they ask for; others are refused. */
export function startTokenServer(certificate: string, accepts: readonly string[]): TokenServer {
  const key = readFileSync(join(dirname(certificate), "key.pem"), "utf8");
  const pem = readFileSync(certificate, "utf8");
  const [service, issuer] = ["registry.test", "issuer.test"];
  const requests: TokenRequest[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: pem, key },
    async fetch(request) {
      const seen = await readRequest(request);
      requests.push(seen);
      if (!accepts.includes(seen.who)) return Response.json({ errors: [{ code: "UNAUTHORIZED" }] }, { status: 401 });
      const token = jwt(pem, key, { iss: issuer, sub: "test", aud: service, access: seen.scopes.flatMap(accessOf) });
      return Response.json(request.method === "POST" ? { access_token: token } : { token, expires_in: 300 });
    },
  });
  return {
    realm: `https://127.0.0.1:${server.port}/token`,
    ...{ service, issuer, certificate, requests },
    [Symbol.dispose]: () => void server.stop(true),
  };
}

async function readRequest(request: Request): Promise<TokenRequest> {
  const form =
    request.method === "POST" ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
  const scopes = form.getAll("scope").flatMap((scope) => scope.split(" ").filter(Boolean));
  const basic = /^Basic (.*)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  const refresh = form.get("grant_type") === "refresh_token" ? form.get("refresh_token") : null;
  const who =
    refresh !== null ? `refresh ${refresh}` : basic === undefined ? "nobody" : `basic ${Buffer.from(basic, "base64")}`;
  return { method: request.method, scopes, who };
}

/** "repository:a/b:pull,push" */
function accessOf(scope: string): { type: string; name: string; actions: string[] }[] {
  const match = /^(\w+):(.+):([\w,]+)$/.exec(scope);
  return match === null ? [] : [{ type: match[1] ?? "", name: match[2] ?? "", actions: (match[3] ?? "").split(",") }];
}

/** RFC 7519, with the certificate in the header: what the registry's rootcertbundle is compared with. */
function jwt(certificate: string, key: string, claims: object): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const x5c = [new X509Certificate(certificate).raw.toString("base64")];
  const content = `${part({ typ: "JWT", alg: "RS256", x5c })}.${part({ ...claims, nbf: now - 60, iat: now - 60, exp: now + 300, jti: String(now) })}`;
  return `${content}.${sign("sha256", Buffer.from(content), createPrivateKey(key)).toString("base64url")}`;
}
