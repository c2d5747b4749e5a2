/** The firewall rules of forwarded ports, as text for iptables-restore(8): rkt 1.x's chains, so that an operator's tools recognise them. */

import type { ForwardedPort } from "./types.ts";

/** Names are stable: `RKT-PFWD-DNAT-` and `RKT-PFWD-SNAT-` and the UUID's first eight digits. */
export function chainNames(uuid: string): { dnat: string; snat: string } {
  const short = uuid.slice(0, 8);
  return { dnat: `RKT-PFWD-DNAT-${short}`, snat: `RKT-PFWD-SNAT-${short}` };
}

/**
 * One transaction that makes the chains (an existing one is emptied), hooks them in at the top, and fills them:
 * PREROUTING for what comes from outside, OUTPUT for the host itself, POSTROUTING because a pod cannot answer to 127.0.0.1.
 */
export function forwardingRules(uuid: string, podIp: string, ports: readonly ForwardedPort[]): string {
  const { dnat, snat } = chainNames(uuid);
  return table([
    `:${dnat} - [0:0]`,
    `:${snat} - [0:0]`,
    `-I POSTROUTING 1 -s 127.0.0.1 ! -d 127.0.0.1 -j ${snat}`,
    `-I PREROUTING 1 -m addrtype --dst-type LOCAL -j ${dnat}`,
    `-I OUTPUT 1 -m addrtype --dst-type LOCAL -j ${dnat}`,
    ...ports.flatMap(({ protocol, hostIp, hostPort, podPort }) => [
      `-A ${dnat} -d ${hostIp ?? "0.0.0.0/0"} -p ${protocol} --dport ${hostPort} -j DNAT --to-destination ${podIp}:${podPort}`,
      `-A ${snat} -p ${protocol} -s 127.0.0.1 -d ${podIp} --dport ${podPort} -j MASQUERADE`,
    ]),
  ]);
}

/**
 * The transaction that removes a pod's chains and every rule that leads to them, made from what iptables-save(8) printed: a rule that somebody removed
 * already must not make the whole transaction fail. Undefined when nothing is there.
 */
export function removalRules(uuid: string, saved: string): string | undefined {
  const lines = saved.split("\n");
  const { dnat, snat } = chainNames(uuid);
  const present = [dnat, snat].filter((chain) => lines.some((line) => line.startsWith(`:${chain} `)));
  if (present.length === 0) return undefined;
  const jumps = lines.filter((line) => {
    const target = /^-A (\S+) .*-[jg] (\S+)$/.exec(line);
    return target?.[2] !== undefined && present.includes(target[2]) && !present.includes(target[1] ?? "");
  });
  return table([
    ...jumps.map((line) => line.replace(/^-A/, "-D")),
    ...present.map((chain) => `-F ${chain}`),
    ...present.map((chain) => `-X ${chain}`),
  ]);
}

function table(lines: readonly string[]): string {
  return ["*nat", ...lines, "COMMIT", ""].join("\n");
}
