/** rkt api-service: the gRPC service of rkt 1.x. */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
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
  const stop = sockets > 0 ? await serveInherited(server, sockets) : await serveAddress(server, given);
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

/** sd_listen_fds(3). */
function inheritedSockets(): number {
  const count = Number(process.env["LISTEN_FDS"] ?? "0");
  return process.env["LISTEN_PID"] === String(process.pid) && Number.isInteger(count) && count > 0 ? count : 0;
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

const PROXIES = ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];

/** The runtime cannot listen on a descriptor it was started with; systemd's own proxy can, and is where systemd is. It leads to a socket of ours. */
async function serveInherited(server: ApiServer, sockets: number): Promise<() => void> {
  const proxy = PROXIES.find((path) => existsSync(path));
  if (proxy === undefined)
    throw new RktError("HOST_PROGRAM", `Cannot serve systemd's sockets: "${PROXIES[0]}" is missing`, {
      hint: "install the host's systemd package, or use --listen",
    });
  const directory = mkdtempSync("/run/rkt-api-");
  await server.listen(`unix:${directory}/api.sock`);
  const stdio = ["ignore", "ignore", "inherit", ...Array.from({ length: sockets }, (_, index) => 3 + index)] as const;
  const child = spawn("/bin/sh", ["-c", 'LISTEN_PID=$$ exec "$0" "$1"', proxy, `${directory}/api.sock`], {
    stdio: [...stdio],
    env: { PATH: "/usr/bin:/bin", LISTEN_FDS: String(sockets) },
  });
  return () => {
    child.kill("SIGTERM");
    rmSync(directory, { recursive: true, force: true });
  };
}

function insecureFlags(insecure: Readonly<Record<string, boolean>> | object): string {
  const names = Object.entries(insecure).flatMap(([name, on]) => (on === true ? [name] : []));
  return names.length === 0 ? "none" : names.join(",");
}
