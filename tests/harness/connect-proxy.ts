/** A proxy on loopback that knows CONNECT and nothing else, counts, and leads every name to where the test says. */

import { connect, createServer, type Socket } from "node:net";

export interface ConnectProxy {
  /** "http://127.0.0.1:PORT". */
  readonly url: string;
  readonly host: string;
  /** The targets in order: "registry.test:443". */
  readonly connections: readonly string[];
  /** Proxy-Authorization of each, undefined where there was none. */
  readonly authorizations: readonly (string | undefined)[];
  [Symbol.dispose](): void;
}

/** `route`: the port on loopback for a target; undefined refuses it with 403. */
export async function connectProxy(route: (target: string) => number | undefined): Promise<ConnectProxy> {
  const connections: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((client) => {
    keep(client);
    client.once("data", (chunk: Buffer) => {
      const head = chunk.toString("latin1");
      const target = /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(head)?.[1];
      if (target === undefined) return void client.end("HTTP/1.1 405 No\r\n\r\n");
      connections.push(target);
      authorizations.push(/^proxy-authorization: (.*)\r$/im.exec(head)?.[1]);
      const port = route(target);
      if (port === undefined) return void client.end("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
      const upstream = connect(port, "127.0.0.1", () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        client.pipe(upstream).pipe(client);
      });
      keep(upstream);
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
    connections,
    authorizations,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
