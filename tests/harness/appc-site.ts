/**
 * App Container sites for tests: any host name, over TLS with a certificate of an authority made on the spot, and over plain http. rkt reaches them through a proxy
 * on loopback, which counts what passes. The environment for rkt (and nothing else of the machine) points there.
 */

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { runProgram } from "./temporary.ts";

export interface Page {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export type Handler = (request: Request, url: URL) => Page | undefined;

export interface AppcSite {
  /** HTTPS_PROXY, HTTP_PROXY and SSL_CERT_FILE. */
  readonly env: Record<string, string>;
  /** What is where: "https://example.com/app?ac-discovery=1" (or without scheme and query: any) → page. A handler may decide. */
  readonly pages: Map<string, Page | Handler>;
  /** "GET https://example.com/app?ac-discovery=1", in order. */
  readonly requests: string[];
  /** Authorization headers seen, by URL. */
  readonly authorizations: Map<string, string>;
  /** Bytes from servers to rkt since the last call. */
  bytes(): number;
  stop(): void;
}

/** Certificates are for example.com, other.org and hosts below them. */
export async function startAppcSite(dir: string): Promise<AppcSite> {
  const authority = makeAuthority(mkdtempSync(join(dir, "authority-")));
  const pages: AppcSite["pages"] = new Map();
  const requests: string[] = [];
  const authorizations = new Map<string, string>();
  let bytes = 0;
  const answer = (scheme: string) => (request: Request) => {
    const url = new URL(request.url);
    // Bun gives the port of the server; the client asked for the scheme's own.
    const name = `${scheme}://${request.headers.get("host")?.replace(/:\d+$/, "")}${url.pathname}${url.search}`;
    requests.push(`${request.method} ${name}`);
    const authorization = request.headers.get("authorization");
    if (authorization !== null) authorizations.set(name, authorization);
    return responseTo(pages, request, new URL(name));
  };
  const secure = Bun.serve({ port: 0, hostname: "127.0.0.1", tls: authority.server, fetch: answer("https") });
  const plain = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer("http") });
  const proxy = await startProxy({
    secure: secure.port ?? 0,
    plain: plain.port ?? 0,
    count: (size) => {
      bytes += size;
    },
  });
  const url = `http://127.0.0.1:${proxy.port}`;
  return {
    env: { HTTPS_PROXY: url, HTTP_PROXY: url, SSL_CERT_FILE: authority.certificate },
    pages,
    requests,
    authorizations,
    bytes: () => {
      const seen = bytes;
      bytes = 0;
      return seen;
    },
    stop: () => {
      proxy.stop();
      secure.stop(true);
      plain.stop(true);
    },
  };
}

/** A discovery page. */
export function discoveryPage(...tags: (readonly [name: string, prefix: string, location: string])[]): Page {
  const lines = tags.map(([name, prefix, location]) => `<meta name="${name}" content="${prefix} ${location}">`);
  return {
    headers: { "content-type": "text/html" },
    body: `<!DOCTYPE html>\n<html><head>\n${lines.join("\n")}\n</head></html>\n`,
  };
}

function responseTo(pages: AppcSite["pages"], request: Request, url: URL): Response {
  const place = url.host + url.pathname.replace(/\/$/, "");
  for (const key of [url.toString(), `${url.protocol}//${place}`, place]) {
    const entry = pages.get(key);
    const page = typeof entry === "function" ? entry(request, url) : entry;
    if (page !== undefined)
      return new Response(page.body ?? null, { status: page.status ?? 200, headers: page.headers ?? {} });
  }
  return new Response("nothing here", { status: 404 });
}

function makeAuthority(dir: string) {
  const file = (name: string) => join(dir, name);
  runProgram([
    ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority"],
    ...["-keyout", file("ca.key"), "-out", file("ca.pem")],
  ]);
  runProgram([
    ...["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.com"],
    ...["-keyout", file("key.pem"), "-out", file("request.pem")],
  ]);
  const names = ["example.com", "*.example.com", "other.org", "*.other.org"].map((name) => `DNS:${name}`).join(",");
  writeFileSync(file("extensions"), `subjectAltName=${names}\n`);
  runProgram([
    ...["openssl", "x509", "-req", "-in", file("request.pem"), "-CA", file("ca.pem"), "-CAkey", file("ca.key")],
    ...["-CAcreateserial", "-days", "2", "-extfile", file("extensions"), "-out", file("cert.pem")],
  ]);
  return {
    certificate: file("ca.pem"),
    server: { cert: readFileSync(file("cert.pem"), "utf8"), key: readFileSync(file("key.pem"), "utf8") },
  };
}

interface ProxyOptions {
  readonly secure: number;
  readonly plain: number;
  count(bytes: number): void;
}

/** Whatever the host: CONNECT leads to the secure server, all else to the plain one. */
async function startProxy(options: ProxyOptions): Promise<{ port: number; stop(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    sockets.add(client);
    client.on("close", () => sockets.delete(client)).on("error", () => {});
    client.once("data", (first: Buffer) => {
      const isTunnel = first.toString("latin1").startsWith("CONNECT ");
      const upstream = connect(isTunnel ? options.secure : options.plain, "127.0.0.1", () => {
        if (isTunnel) client.write("HTTP/1.1 200 OK\r\n\r\n");
        // The absolute form that clients send to proxies, made the form for servers.
        else upstream.write(first.toString("latin1").replace(/^([A-Z]+) http:\/\/[^/ ]*/, "$1 "), "latin1");
        client.pipe(upstream);
        upstream.on("data", (chunk: Buffer) => options.count(chunk.length)).pipe(client);
      });
      upstream.on("error", () => client.destroy());
      client.on("close", () => upstream.destroy());
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
