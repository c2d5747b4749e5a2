/** A TCP forwarder in front of a server: counts what the server sends, and lets it through no faster than told, as a line would. */

import { connect, createServer, type Socket } from "node:net";

export interface CountingProxy {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** Bytes from the server since the start. */
  bytes(): number;
  /** Resolves when `bytes()` is at least `count`. */
  reached(count: number): Promise<void>;
  [Symbol.dispose](): void;
}

/** `using proxy = await countingProxy(port, 10_000_000)`: bytes a second, for all connections together. */
export async function countingProxy(port: number, bytesPerSecond = Number.POSITIVE_INFINITY): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  let total = 0;
  /** When the line is free again. */
  let free = 0;
  let waiting: { count: number; resolve: () => void }[] = [];
  const seen = (size: number) => {
    total += size;
    for (const { count, resolve } of waiting) if (total >= count) resolve();
    waiting = waiting.filter(({ count }) => total < count);
  };
  const forward = async (upstream: Socket, client: Socket) => {
    for await (const chunk of upstream as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += 16_384) {
        const piece = chunk.subarray(at, at + 16_384);
        const now = performance.now();
        free = Math.max(free, now) + (piece.length / bytesPerSecond) * 1000;
        if (free - now > 1) await Bun.sleep(free - now);
        if (client.destroyed) return;
        // What is sent waits for what was sent before to be taken: little is on the way when the other end dies.
        if (!client.write(piece)) await drained(client);
        seen(piece.length);
      }
    }
  };
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.pipe(upstream);
    client.on("close", () => upstream.destroy());
    forward(upstream, client)
      .catch(() => {})
      .finally(() => client.end());
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    bytes: () => total,
    reached: (count) => {
      const { promise: reached, resolve: done } = Promise.withResolvers<void>();
      if (total >= count) done();
      else waiting.push({ count, resolve: done });
      return reached;
    },
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
