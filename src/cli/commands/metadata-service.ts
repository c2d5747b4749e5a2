/** rkt metadata-service: tells apps about themselves, and signs for them. */

import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { RktError } from "../../core/errors.ts";
import { METADATA_PORT, METADATA_REGISTRATIONS, METADATA_SOCKET } from "../../core/metadata.ts";
import { quoted } from "../../core/text.ts";
import { inheritedSockets, serveInherited } from "../../services/inherited-sockets.ts";
import type { Command, CommandInput } from "../command.ts";

export const command: Command = {
  name: "metadata-service",
  summary: "Run metadata service",
  usage: "[--listen-port=PORT]",
  description: `Answers apps' questions about their pod (App Container specification, metadata service) at http://HOST:PORT/TOKEN, which apps find in AC_METADATA_URL when their pod was started with --mds-register. Pods register at ${METADATA_SOCKET}, or at the socket that systemd passes.

What is registered outlives the service: another one goes on where it was ended.`,
  flags: [{ name: "listen-port", kind: "string", default: String(METADATA_PORT), usage: "listen port" }],
  run: metadataCommand,
};

async function metadataCommand({ flags, output }: CommandInput): Promise<number> {
  const port = portOf(flags.string("listen-port"));
  output.error("metadata service starting...");
  const [{ openRegistrations }, { serveMetadata }] = await Promise.all([
    import("../../services/metadata/registrations.ts"),
    import("../../services/metadata/serve.ts"),
  ]);
  const sockets = inheritedSockets();
  mkdirSync(dirname(METADATA_SOCKET), { recursive: true, mode: 0o755 });
  const own = sockets > 0 ? mkdtempSync(`${dirname(METADATA_SOCKET)}/metadata-`) : undefined;
  const socket = own === undefined ? METADATA_SOCKET : `${own}/registration.sock`;
  if (own === undefined && existsSync(socket) && !(await isServed(socket))) rmSync(socket);
  const registrations = openRegistrations(METADATA_REGISTRATIONS, output.error);
  const servers = await serveMetadata(registrations, { socket, port }, output.error);
  const stop = own === undefined ? undefined : serveInherited(sockets, socket);
  output.error("metadata service running");
  await new Promise<void>((done) => {
    process.once("SIGINT", () => done());
    process.once("SIGTERM", () => done());
  });
  output.error("metadata service exiting...");
  stop?.();
  servers.close();
  rmSync(own ?? socket, { recursive: true, force: true });
  return 0;
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^[0-9]+$/.test(text) && port > 0 && port < 65536) return port;
  throw new RktError("USAGE", `Cannot listen on port ${quoted(text)}: expected 1 to 65535`);
}

/** A socket that somebody listens at is in use, and is taken from nobody: bind(2) then fails. */
async function isServed(path: string): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((done) => {
    const socket = connect(path, () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}
