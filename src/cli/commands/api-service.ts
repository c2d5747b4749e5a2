/** rkt api-service: the gRPC service of rkt 1.x. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../core/errors.ts";
import { inheritedSockets, serveInherited } from "../../services/inherited-sockets.ts";
import type { ApiServer } from "../../services/mod.ts";
import type { Command, CommandInput } from "../command.ts";

const DEFAULT_ADDRESS = "localhost:15441";

export const command: Command = {
  name: "api-service",
  summary: "Run API service (experimental)",
  usage: "[--listen=ADDRESS]",
  description: `Answers questions about pods and images over gRPC (package v1alpha, service PublicAPI). It reads only, keeps no state and can be ended at any moment. Whoever can connect may ask: there is no authentication.

ADDRESS is HOST:PORT, or unix:/PATH for a socket. Started by systemd with sockets, it serves those.`,
  flags: [{ name: "listen", kind: "string", usage: `address to listen on (default ${DEFAULT_ADDRESS})` }],
  readsImages: true,
  run: apiCommand,
};

async function apiCommand({ engine, flags, output }: CommandInput): Promise<number> {
  const given = flags.string("listen");
  const sockets = inheritedSockets();
  if (sockets > 0 && given !== "")
    throw new RktError("USAGE", "started under systemd.socket(5), but --listen passed! Quitting.");
  output.error("API service starting...");
  const { serveApi } = await import("../../services/mod.ts");
  const server = serveApi({
    engine,
    globals: [
      `--dir=${engine.dataDir.root}`,
      `--local-config=${engine.localConfigDir}`,
      `--system-config=${engine.systemConfigDir}`,
    ],
    insecureFlags: insecureFlags(engine.insecure),
  });
  const stop = sockets > 0 ? await serveProxied(server, sockets) : await serveAddress(server, given);
  output.error(
    sockets > 0 ? `Listening on ${sockets} systemd-provided socket(s)` : `Listening on ${given || DEFAULT_ADDRESS}`,
  );
  output.error("API service running");
  await new Promise<void>((done) => {
    process.once("SIGINT", () => done());
    process.once("SIGTERM", () => done());
  });
  output.error("API service exiting...");
  stop();
  server.close();
  return 0;
}

async function serveAddress(server: ApiServer, given: string): Promise<() => void> {
  const address = given === "" ? DEFAULT_ADDRESS : given;
  const path = address.startsWith("unix:") ? address.slice("unix:".length).replace(/^\/\//, "") : undefined;
  // Of a service that was killed. A socket that somebody listens at is in use, and is taken from nobody: bind(2) then fails.
  if (path !== undefined && existsSync(path) && !(await isServed(path))) rmSync(path);
  await server.listen(address);
  return () => {
    if (path !== undefined) rmSync(path, { force: true });
  };
}

async function isServed(path: string): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((done) => {
    const socket = connect(path, () => done(true));
    socket.once("error", () => done(false));
  });
}

/** Through a socket of ours: see serveInherited. A unit with RuntimeDirectory= may write nowhere else below /run (systemd.exec(5)). */
async function serveProxied(server: ApiServer, sockets: number): Promise<() => void> {
  const directory = mkdtempSync(join(process.env["RUNTIME_DIRECTORY"] ?? "/run", "rkt-api-"));
  await server.listen(`unix:${directory}/api.sock`);
  const stop = serveInherited(sockets, `${directory}/api.sock`);
  return () => {
    stop();
    rmSync(directory, { recursive: true, force: true });
  };
}

function insecureFlags(insecure: Readonly<Record<string, boolean>> | object): string {
  const names = Object.entries(insecure).flatMap(([name, on]) => (on === true ? [name] : []));
  return names.length === 0 ? "none" : names.join(",");
}
