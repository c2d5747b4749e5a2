/** The rules of forwarded ports for hosts that have nft(8) and no iptables: one table a pod, made and removed as a whole. The rules are those of port-rules.ts. Pure. */

import { type ForwardingTargets, portsOf, type Target } from "./port-rules.ts";
import type { ForwardedPort } from "./types.ts";

/** Of the family inet, so that it holds IPv4 and IPv6 (Linux 5.2). */
export function nftTable(uuid: string): string {
  return `rkt-pfwd-${uuid.slice(0, 8)}`;
}

/** Input of `nft -f -`: one transaction. */
export function nftForwarding(uuid: string, targets: ForwardingTargets, ports: readonly ForwardedPort[]): string {
  const each = (rules: (family: 4 | 6, target: Target) => string[]) => [
    ...(targets.ip4 === undefined ? [] : rules(4, targets.ip4)),
    ...(targets.ip6 === undefined ? [] : rules(6, targets.ip6)),
  ];
  const chain = (name: string, head: string, rules: readonly string[]) => [
    `chain ${name} {`,
    ...(head === "" ? [] : [`type ${head}; policy accept;`]),
    ...rules,
    "}",
  ];
  const guard = targets.ip4 === undefined ? [] : nftGuard(targets.ip4);
  const dnat = each((family, target) => portsOf(ports, family).map((port) => nftDnat(family, target, port)));
  const snat = each((family, target) => portsOf(ports, family).flatMap((port) => nftSnat(family, target, port)));
  const lines = [
    `table inet ${nftTable(uuid)} {`,
    ...chain("ports", "", dnat),
    ...chain("guard", "filter hook prerouting priority -300", guard),
    ...chain("incoming", "nat hook prerouting priority -100", ["fib daddr type local jump ports"]),
    ...chain("own", "nat hook output priority -100", ["fib daddr type local jump ports"]),
    ...chain("answers", "nat hook postrouting priority 100", snat),
    "}",
  ];
  return `${nftRemoval(uuid)}${lines.join("\n")}\n`;
}

/** Adding first makes removing succeed also where there is none. */
export function nftRemoval(uuid: string): string {
  return `add table inet ${nftTable(uuid)}\ndelete table inet ${nftTable(uuid)}\n`;
}

function nftGuard({ interface: link }: Target): string[] {
  return [`iifname != "lo" ip daddr 127.0.0.0/8 drop`, `iifname "${link}" ip saddr 127.0.0.0/8 drop`];
}

function nftDnat(family: 4 | 6, { ip }: Target, { protocol, hostIp, hostPort, podPort }: ForwardedPort): string {
  const [l3, to] = family === 4 ? ["ip", ip] : ["ip6", `[${ip}]`];
  const where = hostIp === undefined || hostIp === "::" ? `meta nfproto ipv${family}` : `${l3} daddr ${hostIp}`;
  return `${where} ${protocol} dport ${hostPort} dnat ${l3} to ${to}:${podPort}`;
}

function nftSnat(family: 4 | 6, { ip, neighbours }: Target, { protocol, podPort }: ForwardedPort): string[] {
  const [l3, loopback] = family === 4 ? ["ip", "127.0.0.0/8"] : ["ip6", "::1"];
  const to = `${l3} daddr ${ip} ${protocol} dport ${podPort}`;
  return [`${l3} saddr ${loopback} ${to} masquerade`, `${l3} saddr ${neighbours} ${to} ct status dnat masquerade`];
}

/** The UUIDs' first eight digits of every pod that has a table in the output of `nft list tables`. */
export function podsWithTables(listed: string): string[] {
  return [...listed.matchAll(/^table inet rkt-pfwd-([0-9a-f]{8})$/gm)].map((match) => match[1] ?? "");
}
