/** The firewall rules of forwarded ports, as text for iptables-restore(8) and ip6tables-restore(8). rkt 1.x's names of chains, so that an operator's tools recognise them. Pure. */

import type { ForwardedPort } from "./types.ts";

/** Where a pod is reached in one family: its address, and how the host gets there. */
export interface Target {
  readonly ip: string;
  /** The host's interface towards the pod. */
  readonly interface: string;
  /** What that route covers: pods within it reach each other without the host. */
  readonly neighbours: string;
}

export interface ForwardingTargets {
  readonly ip4: Target | undefined;
  readonly ip6: Target | undefined;
}

/** Names are stable: `RKT-PFWD-DNAT-`, `RKT-PFWD-SNAT-`, `RKT-PFWD-GUARD-` and the UUID's first eight digits. */
export function chainNames(uuid: string): { dnat: string; snat: string; guard: string } {
  const short = uuid.slice(0, 8);
  return { dnat: `RKT-PFWD-DNAT-${short}`, snat: `RKT-PFWD-SNAT-${short}`, guard: `RKT-PFWD-GUARD-${short}` };
}

/** The ports that lead to a pod in one family. */
export function portsOf(ports: readonly ForwardedPort[], family: 4 | 6): readonly ForwardedPort[] {
  return ports.filter(({ hostIp }) => hostIp === undefined || hostIp.includes(":") === (family === 6));
}

/**
 * The rules of one family. A transaction for each table: the chains are made (an existing one is emptied), hooked in at the top, and filled. PREROUTING is for what
 * comes from outside and from pods, OUTPUT for the host itself, POSTROUTING for answers that would not come back through the host otherwise.
 */
export function forwardingRules(uuid: string, family: 4 | 6, target: Target, ports: readonly ForwardedPort[]): string {
  const { dnat, snat } = chainNames(uuid);
  const { ip, neighbours } = target;
  const [any, loopback, to] = family === 4 ? ["0.0.0.0/0", "127.0.0.0/8", ip] : ["::/0", "::1", `[${ip}]`];
  const nat = [
    `:${dnat} - [0:0]`,
    `:${snat} - [0:0]`,
    `-I POSTROUTING 1 -d ${ip} -j ${snat}`,
    `-I PREROUTING 1 -m addrtype --dst-type LOCAL -j ${dnat}`,
    `-I OUTPUT 1 -m addrtype --dst-type LOCAL -j ${dnat}`,
    ...ports.flatMap(({ protocol, hostIp, hostPort, podPort }) => [
      `-A ${dnat} -d ${hostIp === undefined || hostIp === "::" ? any : hostIp} -p ${protocol} --dport ${hostPort} -j DNAT --to-destination ${to}:${podPort}`,
      // A pod cannot answer to the host's loopback address.
      `-A ${snat} -p ${protocol} -s ${loopback} -d ${ip} --dport ${podPort} -j MASQUERADE`,
      // The pod itself, and pods on the same link, would get the answer from an address that they did not ask. What they send straight to the pod stays as it is.
      `-A ${snat} -p ${protocol} -s ${neighbours} -d ${ip} --dport ${podPort} -m conntrack --ctstate DNAT -j MASQUERADE`,
    ]),
  ];
  return family === 4 ? guardRules(uuid, target) + table("nat", nat) : table("nat", nat);
}

/**
 * Against what route_localnet opens (CVE-2020-8558): without it the kernel drops packets from or to 127.0.0.0/8 that come over a link; with it, and with DNAT even
 * before it, a neighbour could reach ports of the loopback address. Nothing honest has such an address on a link: answers to the host come to the address
 * that the host was masqueraded with. The raw table comes before every translation. IPv6 has no such setting: ::1 never comes over a link.
 */
function guardRules(uuid: string, { interface: link }: Target): string {
  const { guard } = chainNames(uuid);
  return table("raw", [
    `:${guard} - [0:0]`,
    `-I PREROUTING 1 ! -i lo -j ${guard}`,
    `-A ${guard} -d 127.0.0.0/8 -j DROP`,
    `-A ${guard} -i ${link} -s 127.0.0.0/8 -j DROP`,
  ]);
}

/**
 * The transactions that remove a pod's chains and every rule that leads to them, made from what iptables-save(8) printed: a rule that somebody removed
 * already must not make a whole transaction fail. Undefined when nothing is there.
 */
export function removalRules(uuid: string, saved: string): string | undefined {
  const own = Object.values(chainNames(uuid));
  const texts = savedTables(saved).flatMap(({ name, lines }) => {
    const present = own.filter((chain) => lines.some((line) => line.startsWith(`:${chain} `)));
    if (present.length === 0) return [];
    const jumps = lines.filter((line) => {
      const target = /^-A (\S+) .*-[jg] (\S+)$/.exec(line);
      return target?.[2] !== undefined && present.includes(target[2]) && !present.includes(target[1] ?? "");
    });
    return table(name, [
      ...jumps.map((line) => line.replace(/^-A/, "-D")),
      ...present.map((chain) => `-F ${chain}`),
      ...present.map((chain) => `-X ${chain}`),
    ]);
  });
  return texts.length === 0 ? undefined : texts.join("");
}

/**
 * What of a pod's rules is missing in the text of iptables-save(8): chains, jumps to them, ports. Compared by what a rule does and not by its text, which
 * differs between the versions of iptables.
 */
export function missingRules(
  uuid: string,
  family: 4 | 6,
  { ip }: Target,
  ports: readonly ForwardedPort[],
  saved: string,
): string[] {
  const { dnat, snat, guard } = chainNames(uuid);
  const lines = savedTables(saved).flatMap((table) => table.lines);
  const has = (...words: string[]) =>
    lines.some((line) => words.every((word) => `${line} `.includes(word.endsWith(" ") ? word : `${word} `)));
  const jump = (from: string, to: string) => (has(`-A ${from}`, `-j ${to}`) ? [] : [`the jump from ${from} to ${to}`]);
  const to = family === 4 ? ip : `[${ip}]`;
  return [
    ...jump("PREROUTING", dnat),
    ...jump("OUTPUT", dnat),
    ...jump("POSTROUTING", snat),
    ...(family === 6 ? [] : jump("PREROUTING", guard)),
    ...(family === 6 || has(`-A ${guard}`, "-d 127.0.0.0/8", "-j DROP") ? [] : [`the guard of 127.0.0.0/8`]),
    ...ports.flatMap(({ protocol, hostPort, podPort }) =>
      has(`-A ${dnat}`, `--dport ${hostPort}`, `--to-destination ${to}:${podPort}`, `-p ${protocol}`)
        ? []
        : [`${protocol} port ${hostPort}`],
    ),
  ];
}

/** The UUIDs' first eight digits of every pod that has chains in the text of iptables-save(8). */
export function podsWithChains(saved: string): string[] {
  const found = [...saved.matchAll(/^:RKT-PFWD-(?:DNAT|SNAT|GUARD)-([0-9a-f]{8}) /gm)].map((match) => match[1] ?? "");
  return [...new Set(found)];
}

function savedTables(saved: string): { name: string; lines: string[] }[] {
  const tables: { name: string; lines: string[] }[] = [];
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) tables.push({ name: line.slice(1), lines: [] });
    else tables.at(-1)?.lines.push(line);
  }
  return tables;
}

function table(name: string, lines: readonly string[]): string {
  return [`*${name}`, ...lines, "COMMIT", ""].join("\n");
}
