/**
 * Masquerading rules of the plugins ptp and bridge: a chain a pod (`CNI-…`), and in every rule's comment the network's name and the pod's UUID. The plugins find them by the
 * addresses of the pod's interface, and so forget them when its namespace was lost before DEL (seen with 1.1.1). Pure but for the functions at the end.
 */

import { isUuid } from "../core/uuid.ts";
import { type Firewall, installedFirewalls, restoreRules, savedRules } from "./firewall.ts";

const RULE = /^-A (\S+) .*--comment "name: \\"([^"\\]+)\\" id: \\"([0-9a-f-]{36})\\"" -j (\S+)$/;

/** The pods that have such rules in the text of iptables-save(8): UUID → network. */
export function masqueradedPods(saved: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of saved.split("\n")) {
    const [, , network = "", uuid = ""] = RULE.exec(line) ?? [];
    if (isUuid(uuid)) found.set(uuid, network);
  }
  return found;
}

/** The transaction that removes those of one pod; undefined when there are none. */
export function masqueradeRemoval(uuid: string, saved: string): string | undefined {
  const lines = saved.split("\n");
  const jumps = lines.filter((line) => {
    const [, , , id, target = ""] = RULE.exec(line) ?? [];
    return id === uuid && /^CNI-[0-9a-f]{24}$/.test(target);
  });
  const chains = new Set(jumps.map((line) => RULE.exec(line)?.[4] ?? ""));
  if (chains.size === 0) return undefined;
  return [
    "*nat",
    ...jumps.map((line) => line.replace(/^-A/, "-D")),
    ...[...chains].map((chain) => `-F ${chain}`),
    ...[...chains].map((chain) => `-X ${chain}`),
    "COMMIT",
    "",
  ].join("\n");
}

export interface Masquerade {
  readonly uuid: string;
  readonly network: string;
  readonly firewall: Firewall;
}

/** Every pod that has masquerading rules in one of the host's firewalls. */
export async function masquerades(): Promise<Masquerade[]> {
  const found: Masquerade[] = [];
  for (const firewall of installedFirewalls().filter((kind) => kind !== "nft")) {
    const saved = (await savedRules(firewall, 4, ["nat"])) + (await savedRules(firewall, 6, ["nat"]));
    found.push(...[...masqueradedPods(saved)].map(([uuid, network]) => ({ uuid, network, firewall })));
  }
  return found;
}

/** Removes a pod's masquerading rules; fine when there are none. */
export async function removeMasquerade({ uuid, firewall }: Masquerade): Promise<void> {
  for (const family of [4, 6] as const) {
    const rules = masqueradeRemoval(uuid, await savedRules(firewall, family, ["nat"]));
    if (rules !== undefined) await restoreRules(firewall, family, rules, "remove masquerading");
  }
}
