/** Sockets that systemd opened for a service of ours (sd_listen_fds(3)). */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { RktError } from "../core/errors.ts";

/** How many this process was given. */
export function inheritedSockets(): number {
  const count = Number(process.env["LISTEN_FDS"] ?? "0");
  return process.env["LISTEN_PID"] === String(process.pid) && Number.isInteger(count) && count > 0 ? count : 0;
}

const PROXIES = ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];

/**
 * Leads what connects to the inherited sockets to the unix socket `path`, where this process listens. The runtime cannot listen on a descriptor it was started with;
 * systemd's own proxy can, and is where systemd is. Returns how to end it. Throws HOST_PROGRAM.
 */
export function serveInherited(sockets: number, path: string): () => void {
  const proxy = PROXIES.find((file) => existsSync(file));
  if (proxy === undefined)
    throw new RktError("HOST_PROGRAM", `Cannot serve systemd's sockets: "${PROXIES[0]}" is missing`, {
      hint: "install the host's systemd package, or start the service without systemd's sockets",
    });
  const stdio = ["ignore", "ignore", "inherit", ...Array.from({ length: sockets }, (_, index) => 3 + index)] as const;
  const child = spawn("/bin/sh", ["-c", 'LISTEN_PID=$$ exec "$0" "$1"', proxy, path], {
    stdio: [...stdio],
    env: { PATH: "/usr/bin:/bin", LISTEN_FDS: String(sockets) },
  });
  return () => void child.kill("SIGTERM");
}
