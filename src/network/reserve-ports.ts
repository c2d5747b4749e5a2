/**
 * Ports of the host that a pod forwards belong to it: a bound socket, which the pod's supervisor inherits, keeps every other program from taking them while the
 * pod lives, and tells before the start when one is taken already. The kernel frees them with the last process that holds them, whatever happens.
 */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { ip6Bytes } from "./routes.ts";
import type { ForwardedPort } from "./types.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCKET = { tcp: [1, 6], udp: [2, 17], sctp: [1, 132] } as const;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IP_FREEBIND = [0, 15] as const;
const SHUT_RD = 0;

/**
 * Reserves the ports on IPv4, and on IPv6 where the host has it, and returns the descriptors (close-on-exec). Throws CONFLICT for a port that is taken; then
 * nothing is reserved. The process is in the host's network namespace.
 */
export function reservePorts(host: Host, ports: readonly ForwardedPort[]): number[] {
  const reserved: number[] = [];
  try {
    for (const port of ports) {
      for (const family of families(port)) {
        const fd = reserve(host, port, family);
        if (fd !== undefined) reserved.push(fd);
      }
    }
  } catch (error) {
    releasePorts(host, reserved);
    throw error;
  }
  return reserved;
}

export function releasePorts(host: Host, reserved: readonly number[]): void {
  for (const fd of reserved) host.close(fd);
}

function families({ hostIp }: ForwardedPort): readonly number[] {
  if (hostIp === undefined) return [AF_INET, AF_INET6];
  return [hostIp.includes(":") ? AF_INET6 : AF_INET];
}

/** Undefined where the kernel lacks the protocol (SCTP) or the family: nobody else can take the port there either. */
function reserve(host: Host, port: ForwardedPort, family: number): number | undefined {
  const [type, protocol] = SOCKET[port.protocol];
  let fd: number;
  try {
    fd = host.socket(family, type, protocol);
  } catch (error) {
    if (isErrno(error, "EPROTONOSUPPORT", "EAFNOSUPPORT", "ESOCKTNOSUPPORT")) return undefined;
    throw error;
  }
  try {
    if (family === AF_INET6) host.setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    // An address that the host gets later (keepalived) can be named, as in a firewall rule.
    host.setSocketOption(fd, ...IP_FREEBIND, 1);
    if (port.protocol === "udp") host.bind(fd, socketAddress(family, port));
    else bindStream(host, fd, socketAddress(family, port));
    return fd;
  } catch (error) {
    host.close(fd);
    if (family === AF_INET6 && isErrno(error, "EADDRNOTAVAIL")) return undefined; // IPv6 is switched off.
    if (!isErrno(error, "EADDRINUSE", "EACCES")) throw error;
    const where = `${port.protocol}-${port.hostIp ?? (family === AF_INET ? "0.0.0.0" : "[::]")}:${port.hostPort}`;
    throw new RktError(
      "CONFLICT",
      `Cannot forward port ${quoted(port.name)}: port ${where} of the host is already in use, expected a free one`,
      {
        cause: error,
        hint: `\`ss -Hnap 'sport = :${port.hostPort}'\` shows who holds it; a pod may bind one address: --port=${port.name}:IP:${port.hostPort}`,
      },
    );
  }
}

/**
 * With SO_REUSEADDR a port is free although connections to it are in TIME_WAIT; listening finds whoever listens; without SO_REUSEADDR afterwards nobody can bind beside
 * this socket; and shut down it no longer listens, so that what no rule forwards is refused at once instead of being queued here.
 */
function bindStream(host: Host, fd: number, address: Uint8Array): void {
  host.setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  host.bind(fd, address);
  host.listen(fd, 1);
  host.setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  host.shutdown(fd, SHUT_RD);
}

/** struct sockaddr_in (ip(7)), struct sockaddr_in6 (ipv6(7)). */
function socketAddress(family: number, { hostIp, hostPort }: ForwardedPort): Uint8Array {
  const bytes = Buffer.alloc(family === AF_INET ? 16 : 28);
  bytes.writeUInt16LE(family, 0);
  bytes.writeUInt16BE(hostPort, 2);
  if (family === AF_INET) bytes.set((hostIp ?? "0.0.0.0").split(".").map(Number), 4);
  else bytes.set(ip6Bytes(hostIp ?? "::") ?? new Uint8Array(16), 8);
  return bytes;
}
