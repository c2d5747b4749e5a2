/**
 * Masquerading rules of the plugins ptp and bridge: a chain a pod (`CNI-…`), and in every rule's comment the network's name and the pod's UUID. The plugins find them by the
 * addresses of the pod's interface, and so forget them when its namespace was lost before DEL (seen with 1.1.1). Pure but for the functions at the end.
 */

import { createHash } from "node:crypto";
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

/** The chain of a pod on a network, as the plugins name it (utils.FormatChainName of the CNI plugins). */
export function masqueradeChain(network: string, uuid: string): string {
  return `CNI-${createHash("sha512").update(`${network}${uuid}`).digest("hex").slice(0, 24)}`;
}

/**
 * The transaction that removes those of one pod; undefined when there are none. A plugin that was killed in its DEL leaves a chain to which nothing jumps any more, or which is empty: that one is
 * known by its name only, for which the pod's networks must be named.
 */
export function masqueradeRemoval(uuid: string, networks: readonly string[], saved: string): string | undefined {
  const own = saved.split("\n").filter((line) => RULE.exec(line)?.[3] === uuid);
  const jumps = own.filter((line) => isChain(RULE.exec(line)?.[4]));
  const chains = new Set([
    ...own.flatMap((line) => (RULE.exec(line) ?? []).filter(isChain)),
    ...networks.map((network) => masqueradeChain(network, uuid)).filter((chain) => saved.includes(`\n:${chain} `)),
  ]);
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

const isChain = (word: string | undefined): boolean => /^CNI-[0-9a-f]{24}$/.test(word ?? "");

export interface Masquerade {
  readonly uuid: string;
  readonly network: string;
  readonly firewall: Firewall;
}

/** Every pod that has masquerading rules in one of the host's firewalls. */
export async function masquerades(): Promise<Masquerade[]> {
  const found: Masquerade[] = [];
  for (const firewall of iptables()) {
    const saved = (await savedRules(firewall, 4, ["nat"])) + (await savedRules(firewall, 6, ["nat"]));
    found.push(...[...masqueradedPods(saved)].map(([uuid, network]) => ({ uuid, network, firewall })));
  }
  return found;
}

/** Removes a pod's masquerading rules; fine when there are none. */
export async function removeMasquerade({ uuid, network, firewall }: Masquerade): Promise<void> {
  await remove(firewall, uuid, [network]);
}

/** The same in every firewall, of all the networks that the pod had. */
export async function forgetMasquerades(uuid: string, networks: readonly string[]): Promise<void> {
  for (const firewall of iptables()) await remove(firewall, uuid, networks);
}

async function remove(firewall: Firewall, uuid: string, networks: readonly string[]): Promise<void> {
  for (const family of [4, 6] as const) {
    const rules = masqueradeRemoval(uuid, networks, await savedRules(firewall, family, ["nat"]));
    if (rules !== undefined) await restoreRules(firewall, family, rules, "remove masquerading");
  }
}

function iptables(): Firewall[] {
  return installedFirewalls().filter((kind) => kind !== "nft");
}
