/** Puts forwarded ports into the kernel, looks whether they are there, and takes them out; IPv4 and IPv6. */

import { readFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { type Firewall, hostFirewall, installedFirewalls, nft, restoreRules, savedRules } from "./firewall.ts";
import { closeLink, isOpen, openLink } from "./loopback.ts";
import { nftForwarding, nftRemoval, nftTable, podsWithTables } from "./nft-rules.ts";
import {
  type ForwardingTargets,
  forwardingRules,
  missingRules,
  podsWithChains,
  portsOf,
  removalRules,
} from "./port-rules.ts";
import { routeTo4, routeTo6 } from "./routes.ts";
import type { ForwardedPort } from "./types.ts";

/** All that is needed to make a pod's rules again, and to remove them. */
export interface Forwarding {
  readonly firewall: Firewall;
  readonly targets: ForwardingTargets;
  readonly ports: readonly ForwardedPort[];
}

/** The tables that rules are in, in the order of their removal: what leads into the pod first, what guards it last. */
const TABLES: Readonly<Record<4 | 6, readonly string[]>> = { 4: ["nat", "raw"], 6: ["nat"] };

/** Decides how ports lead to a pod with these addresses. Changes nothing. Throws UNSUPPORTED for a port of a family that the pod has no address of, SYSTEM_CALL, HOST_PROGRAM. */
export function planForwarding(
  ips: { readonly ip4: string | undefined; readonly ip6: string | undefined },
  ports: readonly ForwardedPort[],
): Forwarding {
  for (const { hostIp } of ports) {
    const family = hostIp?.includes(":") ? 6 : 4;
    const missing = hostIp === undefined ? (ips.ip4 ?? ips.ip6) === undefined : ips[`ip${family}`] === undefined;
    if (!missing) continue;
    const wanted = hostIp === undefined ? "IP address" : `IPv${family} address`;
    throw new RktError("UNSUPPORTED", `Cannot forward ports: the pod has no ${wanted}, expected one`);
  }
  const ip4 = portsOf(ports, 4).length === 0 ? undefined : ips.ip4;
  const ip6 = portsOf(ports, 6).length === 0 ? undefined : ips.ip6;
  return { firewall: hostFirewall(), targets: { ip4: target(ip4, 4), ip6: target(ip6, 6) }, ports };
}

/**
 * Forwards ports of the host to the pod: from outside, from pods, from the host's own addresses and from its loopback addresses. The rules of a family are one
 * transaction a table. Throws UNSUPPORTED when the kernel has no nat table, HOST_PROGRAM when the firewall's program fails, SYSTEM_CALL; {@link unforwardPorts}
 * removes what was made until then.
 */
export async function forwardPorts(host: Host, uuid: string, forwarding: Forwarding): Promise<void> {
  const { firewall, targets, ports } = forwarding;
  if (firewall === "nft") await nft(["-f", "-"], nftForwarding(uuid, targets, ports), "forward ports");
  else {
    const results = await Promise.allSettled(
      families(targets).map(([family, to]) =>
        restoreRules(firewall, family, forwardingRules(uuid, family, to, portsOf(ports, family)), "forward ports"),
      ),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
  for (const [link, opened] of links(targets)) await openLink(host, uuid, link, opened);
}

/** Removes what {@link forwardPorts} made; fine when there is nothing. Throws HOST_PROGRAM. */
export async function unforwardPorts(host: Host, uuid: string, forwarding: Forwarding | undefined): Promise<void> {
  // The interface is closed while the guard still stands.
  for (const [link] of forwarding === undefined ? [] : links(forwarding.targets)) await closeLink(host, uuid, link);
  const firewall = forwarding?.firewall ?? hostFirewall();
  if (firewall === "nft") {
    await nft(["-f", "-"], nftRemoval(uuid), "remove forwarded ports");
    return;
  }
  // A pod of rkt 1.x has IPv4 rules only.
  for (const family of forwarding === undefined ? [4 as const] : families(forwarding.targets).map(([each]) => each)) {
    const rules = removalRules(uuid, await savedRules(firewall, family, TABLES[family]));
    if (rules !== undefined) await restoreRules(firewall, family, rules, "remove forwarded ports");
  }
}

/** What of a pod's rules is not in the kernel, in words; empty when all is in order. */
export async function missingForwarding(uuid: string, { firewall, targets, ports }: Forwarding): Promise<string[]> {
  const closed = links(targets).flatMap(([link, opened]) =>
    opened.includes(4) && !isOpen(link) ? [`route_localnet of ${link}`] : [],
  );
  if (firewall === "nft") {
    const listed = await nft(["list", "tables", "inet"], "", "list forwarded ports");
    return podsWithTables(listed).includes(uuid.slice(0, 8)) ? closed : [`the table ${nftTable(uuid)}`, ...closed];
  }
  const missing: string[] = [];
  for (const [family, to] of families(targets)) {
    const saved = await savedRules(firewall, family, TABLES[family]);
    missing.push(...missingRules(uuid, family, to, portsOf(ports, family), saved));
  }
  return [...missing, ...closed];
}

/** Every pod, by its UUID's first eight digits, that the host's firewalls have rules of. Looks into every kind that is installed. */
export async function podsWithRules(): Promise<{ short: string; firewall: Firewall }[]> {
  const found: { short: string; firewall: Firewall }[] = [];
  for (const firewall of installedFirewalls()) {
    const shorts =
      firewall === "nft"
        ? podsWithTables(await nft(["list", "tables", "inet"], "", "list forwarded ports"))
        : podsWithChains((await savedRules(firewall, 4, TABLES[4])) + (await savedRules(firewall, 6, TABLES[6])));
    for (const short of new Set(shorts)) found.push({ short, firewall });
  }
  return found;
}

/** Removes the rules of a pod of which nothing but them is left. */
export async function removeStrayRules({ short, firewall }: { short: string; firewall: Firewall }): Promise<void> {
  if (firewall === "nft") return void (await nft(["-f", "-"], nftRemoval(short), "remove forwarded ports"));
  for (const family of [4, 6] as const) {
    const rules = removalRules(short, await savedRules(firewall, family, TABLES[family]));
    if (rules !== undefined) await restoreRules(firewall, family, rules, "remove forwarded ports");
  }
}

function target(ip: string | undefined, family: 4 | 6): ForwardingTargets["ip4"] {
  if (ip === undefined) return undefined;
  const route =
    family === 4
      ? routeTo4(ip, readFileSync("/proc/net/route", "utf8"))
      : routeTo6(ip, readOr("/proc/net/ipv6_route", ""));
  if (route !== undefined) return { ip, interface: route.interface, neighbours: route.destination };
  throw new RktError(
    "SYSTEM_CALL",
    `Cannot forward ports: the host has no route of its own to the pod's address ${ip}`,
  );
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return otherwise;
    throw error;
  }
}

function families({ ip4, ip6 }: ForwardingTargets): [4 | 6, NonNullable<ForwardingTargets["ip4"]>][] {
  return [
    ...(ip4 === undefined ? [] : [[4, ip4] as [4, typeof ip4]]),
    ...(ip6 === undefined ? [] : [[6, ip6] as [6, typeof ip6]]),
  ];
}

function links(targets: ForwardingTargets): [string, (4 | 6)[]][] {
  const found = new Map<string, (4 | 6)[]>();
  for (const [family, { interface: link }] of families(targets)) found.set(link, [...(found.get(link) ?? []), family]);
  return [...found];
}
