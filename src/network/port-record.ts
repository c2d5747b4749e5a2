/** The record of a pod's forwarded ports (`net/ports`), decoded strictly: what it says becomes words of firewall rules and names of files. Pure. */

import { isObject, listOf, objectOf } from "../core/json.ts";
import { ipVersion } from "../spec/ip.ts";
import { FIREWALLS } from "./firewall.ts";
import type { Forwarding } from "./port-forwarding.ts";
import type { Target } from "./port-rules.ts";
import type { ForwardedPort } from "./types.ts";

/** Undefined for anything but a whole record: an empty file of an older release, one that was cut short. */
export function parseForwarding(text: string | undefined): Forwarding | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
  const fields = objectOf(value);
  const firewall = FIREWALLS.find((known) => known === fields.firewall);
  const ports = listOf(fields.ports).map(parsePort);
  const { ip4, ip6 } = objectOf(fields.targets);
  const targets = { ip4: parseTarget(ip4, 4), ip6: parseTarget(ip6, 6) };
  const whole = ports.flatMap((port) => port ?? []);
  if (firewall === undefined || whole.length !== ports.length) return undefined;
  if ((ip4 !== undefined && targets.ip4 === undefined) || (ip6 !== undefined && targets.ip6 === undefined)) {
    return undefined;
  }
  return { firewall, targets, ports: whole };
}

function parsePort(value: unknown): ForwardedPort | undefined {
  const { name, protocol, podPort, hostPort, hostIp } = objectOf(value);
  const isPort = (port: unknown): port is number =>
    Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65535;
  if (typeof name !== "string" || !isPort(podPort) || !isPort(hostPort)) return undefined;
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") return undefined;
  if (hostIp !== undefined && (typeof hostIp !== "string" || ipVersion(hostIp) === 0)) return undefined;
  return { name, protocol, podPort, hostPort, hostIp };
}

function parseTarget(value: unknown, family: 4 | 6): Target | undefined {
  if (!isObject(value)) return undefined;
  const { ip, interface: link, neighbours } = value;
  if (typeof ip !== "string" || ipVersion(ip) !== family) return undefined;
  if (typeof link !== "string" || !/^[A-Za-z0-9_.:@-]{1,15}$/.test(link)) return undefined;
  if (typeof neighbours !== "string") return undefined;
  const [network = "", prefix = ""] = neighbours.split("/");
  return ipVersion(network) === family && /^\d{1,3}$/.test(prefix) ? { ip, interface: link, neighbours } : undefined;
}
