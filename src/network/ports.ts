/** Which port of the host leads to which port of the pod. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { ipVersion } from "../spec/ip.ts";
import type { ForwardedPort } from "./types.ts";

/** The parts of an appc pod manifest that name ports (schema of appc 0.8.11: `apps[].app.ports`, `ports`). */
export interface PodPorts {
  readonly apps: readonly { readonly app?: { readonly ports?: readonly AppPort[] | undefined } | undefined }[];
  readonly ports?: readonly ExposedPort[] | undefined;
}

interface AppPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

interface ExposedPort {
  readonly name: string;
  readonly hostPort: number;
  readonly hostIp?: string | undefined;
  /** Set by `rkt app sandbox --port`: the port needs no app that declares it. */
  readonly podPort?: { readonly protocol: string; readonly port: number } | undefined;
}

const ANY_ADDRESS = "0.0.0.0";

/**
 * Pairs the manifest's exposed ports with the apps' ports by name. Throws INVALID_INPUT in rkt's words when a name is unknown or declared by several apps, and
 * when two entries want the same port of the host, or a host address is none.
 */
export function resolvePorts(pod: PodPorts): ForwardedPort[] {
  const resolved: ForwardedPort[] = [];
  for (const exposed of pod.ports ?? []) {
    const target = exposed.podPort ?? findAppPort(pod, exposed.name);
    const port: ForwardedPort = {
      name: exposed.name,
      protocol: parseProtocol(target.protocol, exposed.name),
      podPort: checkedPort(target.port, exposed.name),
      hostPort: checkedPort(exposed.hostPort, exposed.name),
      hostIp: parseHostIp(exposed.hostIp, exposed.name),
    };
    const taken = resolved.find((other) => conflict(port, other));
    if (taken !== undefined) {
      const wanted = `${port.protocol}-${port.hostIp ?? ANY_ADDRESS}:${port.hostPort}`;
      throw new RktError("INVALID_INPUT", `port ${wanted} already mapped to pod port ${taken.podPort}`);
    }
    resolved.push(port);
  }
  return resolved;
}

function findAppPort(pod: PodPorts, name: string): AppPort {
  const [found, another] = pod.apps.flatMap((app) => app.app?.ports ?? []).filter((port) => port.name === name);
  if (another !== undefined) throw new RktError("INVALID_INPUT", `port name ${quoted(name)} defined multiple apps`);
  if (found === undefined) {
    throw new RktError("INVALID_INPUT", `port name ${quoted(name)} could not be found in any apps`);
  }
  return found;
}

function conflict(a: ForwardedPort, b: ForwardedPort): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  if (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp) return true;
  const [one, other] = [a.hostIp, b.hostIp];
  return one.includes(":") && other.includes(":") && (one === "::" || other === "::");
}

// Both the protocol and the address become words of a firewall rule: nothing but these forms may pass.

function parseProtocol(text: string, name: string): ForwardedPort["protocol"] {
  const protocol = text.toLowerCase();
  if (protocol === "tcp" || protocol === "udp" || protocol === "sctp") return protocol;
  throw new RktError(
    "UNSUPPORTED",
    `Cannot forward port ${quoted(name)}: protocol ${quoted(text)}, expected tcp, udp or sctp`,
  );
}

function checkedPort(port: number, name: string): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65535) return port;
  throw new RktError("INVALID_INPUT", `Cannot forward port ${quoted(name)}: port number ${port}, expected 1 to 65535`);
}

function parseHostIp(text: string | undefined, name: string): string | undefined {
  if (text === undefined || text === "") return undefined;
  const address = text.replace(/^::ffff:(?=[0-9]+\.)/i, "");
  const version = ipVersion(address);
  if (version === 0) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot forward port ${quoted(name)}: host address ${quoted(text)}, expected an IP address`,
    );
  }
  if (address === ANY_ADDRESS) return undefined;
  return version === 6 ? address.toLowerCase() : address;
}
