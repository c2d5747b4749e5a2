/**
 * Socket activation: a port that an image marks `socketActivated` is served on a socket that the host's systemd opened and handed to rkt. systemd-nspawn passes such
 * descriptors to the pod's systemd, which gives each to the socket unit that listens at the same address (systemd.socket(5), sd_listen_fds(3)).
 */

import { readFileSync, readlinkSync } from "node:fs";
import type { PodManifest, Port, RuntimeApp } from "../../src/spec/appc/mod.ts";

/** A listening socket that rkt was started with. */
export interface InheritedSocket {
  readonly protocol: string;
  readonly port: number;
  /** As ListenStream= takes it: "0.0.0.0:80", "[::]:80". */
  readonly address: string;
}

/** One line of an app's socket unit. */
export interface AppSocket {
  readonly directive: "ListenStream" | "ListenDatagram";
  readonly address: string;
}

/** The internet sockets among descriptors 3 … 2+count, in order. In the host's network namespace. */
export function inheritedSockets(count: number): InheritedSocket[] {
  if (count === 0) return [];
  const known = new Map(["tcp", "tcp6", "udp", "udp6"].flatMap(socketTable));
  return Array.from({ length: count }, (_, index) => {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(3 + index))?.[1];
    return inode === undefined ? undefined : known.get(inode);
  }).filter((socket) => socket !== undefined);
}

/**
 * The sockets of one app, in the order of its ports: where the host brought one for the port, that one; else one that the pod's systemd opens in the pod's own
 * network, where forwarding leads to.
 */
export function appSockets(
  manifest: PodManifest,
  app: RuntimeApp,
  inherited: readonly InheritedSocket[],
): readonly AppSocket[] {
  const ports = (app.app?.ports ?? []).filter((port) => port.socketActivated);
  return ports.map((port) => ({
    directive: port.protocol === "udp" ? "ListenDatagram" : "ListenStream",
    address: inheritedFor(manifest, port, inherited)?.address ?? String(port.port),
  }));
}

/** Names of the ports that the host serves: forwarding them as well would lead connections past their sockets. */
export function portsWithSocket(manifest: PodManifest, inherited: readonly InheritedSocket[]): ReadonlySet<string> {
  const ports = manifest.apps.flatMap((app) => app.app?.ports ?? []).filter((port) => port.socketActivated);
  return new Set(ports.filter((port) => inheritedFor(manifest, port, inherited)).map((port) => port.name));
}

/** The host's socket has the host's port number, as given with --port (rkt 1.x). */
function inheritedFor(manifest: PodManifest, port: Port, inherited: readonly InheritedSocket[]) {
  const number = manifest.ports.find((exposed) => exposed.name === port.name)?.hostPort ?? port.port;
  return inherited.find((socket) => socket.protocol === port.protocol && socket.port === number);
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/** Sockets by inode. proc_pid_net(5): column 2 is the local address, column 10 the inode. */
function socketTable(table: string): [string, InheritedSocket][] {
  let text: string;
  try {
    text = readFileSync(`/proc/net/${table}`, "latin1");
  } catch {
    return []; // A kernel without IPv6.
  }
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const socket = inheritedSocket(table.slice(0, 3), fields[1] ?? "");
      return socket === undefined ? [] : [[fields[9] ?? "", socket] as [string, InheritedSocket]];
    });
}

/** "0100007F:1F90", or 32 digits: each group of 8 is a number in the machine's byte order (little-endian ones are the only ones supported). Pure. */
export function inheritedSocket(protocol: string, local: string): InheritedSocket | undefined {
  const [hex = "", portHex = ""] = local.split(":");
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((group) => [...Buffer.from(group, "hex")].reverse());
  const port = Number.parseInt(portHex, 16);
  if (!(port > 0)) return undefined;
  if (bytes.length === 4) return { protocol, port, address: `${bytes.join(".")}:${port}` };
  if (bytes.length !== 16) return undefined;
  const groups = (Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? []).map((group) =>
    group.replace(/^0+(?=.)/, ""),
  );
  return { protocol, port, address: `[${groups.join(":")}]:${port}` };
}
