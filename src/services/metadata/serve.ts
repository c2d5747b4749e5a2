/** The metadata service's two servers: one for rkt, on a unix socket that only root can open, and one for apps, on the network. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { answerPublic, answerRegistration, type MetadataAnswer, type MetadataRequest } from "./answers.ts";
import type { Registrations } from "./registrations.ts";

/** Bytes: of a manifest, of a form. More is refused before it is read. */
const LARGEST = { registration: 16 * 1024 * 1024, form: 1024 * 1024 };

export interface MetadataServers {
  close(): void;
}

/** Throws CONFLICT when the socket or the port is in use, SYSTEM_CALL. `failed` hears about requests that could not be answered. */
export async function serveMetadata(
  registrations: Registrations,
  where: { readonly socket: string; readonly port: number },
  failed: (text: string) => void,
): Promise<MetadataServers> {
  const registration = serverOf((request) => answerRegistration(registrations, request), LARGEST.registration, failed);
  const open = serverOf((request) => answerPublic(registrations, request), LARGEST.form, failed);
  // 0660: root's, as rkt's own socket was.
  const before = process.umask(0o117);
  try {
    await listening(registration, { path: where.socket }, where.socket);
  } finally {
    process.umask(before);
  }
  await listening(open, { port: where.port, host: "0.0.0.0" }, `port ${where.port}`);
  return {
    close: () => {
      for (const server of [registration, open]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

function serverOf(
  answer: (request: MetadataRequest) => MetadataAnswer,
  largest: number,
  failed: (text: string) => void,
): Server {
  const server = createServer((request, response) => {
    respond(request, response, answer, largest).catch((error: unknown) => {
      failed(
        `cannot answer ${quoted(request.method ?? "")}: ${error instanceof Error ? error.message : String(error)}`,
      );
      if (!response.headersSent) send(response, { status: 500, type: "text/plain; charset=us-ascii", body: "" });
    });
  });
  // A client that says nothing must not keep a connection for ever.
  server.requestTimeout = 30_000;
  server.headersTimeout = 10_000;
  return server;
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (request: MetadataRequest) => MetadataAnswer,
  largest: number,
): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > largest) {
      send(response, { status: 413, type: "text/plain; charset=us-ascii", body: "too large\n" });
      return;
    }
    chunks.push(bytes);
  }
  const { method = "", url = "/", headers } = request;
  const body = Buffer.concat(chunks).toString("utf8");
  send(response, answer({ method, target: url, contentType: headers["content-type"] ?? "", body }));
}

function send(response: ServerResponse, { status, type, body }: MetadataAnswer): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

async function listening(
  server: Server,
  options: { path: string } | { port: number; host: string },
  what: string,
): Promise<void> {
  await new Promise<void>((done, refuse) => {
    server.once("error", (cause) =>
      refuse(new RktError("CONFLICT", `Cannot listen on ${quoted(what)}: ${cause.message}`, { cause })),
    );
    server.listen(options, () => done());
  });
}
