/** A web server for tests that may break every rule: it writes what it is told, and hangs up when it is told. */

import { createServer, type Socket } from "node:net";

export interface RawRequest {
  readonly path: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface RawServer {
  /** "http://127.0.0.1:PORT". */
  readonly url: string;
  readonly host: string;
  readonly requests: readonly RawRequest[];
  [Symbol.dispose](): void;
}

/** What {@link RawServer} answers: head and body as written; then it hangs up, unless `hold`. */
export interface RawAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Overrides the body's length. */
  readonly length?: number;
  /** Repeats the body until the client hangs up. */
  readonly endless?: boolean;
  /** Sends no more and keeps the line open. */
  readonly hold?: boolean;
}

/** `using server = await rawServer(request => answer)`. */
export async function rawServer(answer: (request: RawRequest) => RawAnswer): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (chunk: Buffer) => {
      // The first byte of TLS: a client that tries https first.
      if (head === "" && chunk[0] === 0x16) return void socket.destroy();
      head += String(chunk);
      if (!head.includes("\r\n\r\n")) return;
      const request = parseHead(head);
      head = "";
      requests.push(request);
      reply(socket, answer(request));
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const host = `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  return {
    url: `http://${host}`,
    host,
    requests,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function parseHead(head: string): RawRequest {
  const [first = "", ...lines] = head.split("\r\n");
  const headers = lines.flatMap((line): [string, string][] => {
    const colon = line.indexOf(":");
    return colon < 0 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]];
  });
  return { path: first.split(" ")[1] ?? "", headers: new Map(headers) };
}

function reply(socket: Socket, answer: RawAnswer): void {
  const body = Buffer.from(answer.body ?? "");
  const headers = { "content-length": String(answer.length ?? body.length), connection: "close", ...answer.headers };
  const lines = Object.entries(headers).filter(([, value]) => value !== "");
  socket.write(`HTTP/1.1 ${answer.status} X\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
  if (answer.endless === true) {
    repeat(socket, body);
  } else {
    socket.write(body);
    // A line that breaks off does so some time after the last byte that got through.
    if (answer.hold !== true) setTimeout(() => socket.end(), (answer.length ?? 0) > body.length ? 20 : 0);
  }
}

function repeat(socket: Socket, body: Buffer): void {
  if (socket.destroyed) return;
  if (socket.write(body)) setImmediate(() => repeat(socket, body));
  else socket.once("drain", () => repeat(socket, body));
}
