/** What dead pods left on the host outside of their directories: namespaces, firewall rules, opened interfaces, leases, and what plugins keep themselves. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { objectOf, textOf } from "../core/json.ts";
import { isUuid } from "../core/uuid.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { collectNetwork, networkStatus, type Searched } from "./chain.ts";
import type { NetworkConf } from "./conf.ts";
import { leasesOf, releaseLease } from "./leases.ts";
import { closeLink, openLinks } from "./loopback.ts";
import { masquerades, removeMasquerade } from "./masquerade.ts";
import { inhabitedNamespaces } from "./namespace-view.ts";
import { listNetns, removeNetns } from "./netns.ts";
import { negotiateVersion } from "./plugin.ts";
import { podsWithRules, removeStrayRules } from "./port-forwarding.ts";
import { recordedNetns, recordedNetworks } from "./record.ts";
import type { NetworkProblem } from "./types.ts";

/** A pod of this data directory whose network is, or may be, set up. */
export interface KnownPod {
  readonly uuid: string;
  readonly podDir: string;
}

/**
 * Everything that belongs to pods that neither `known` has nor a process is left of. The caller holds the lock of set-ups alone (set-up-lock.ts): what has no process
 * then will never have one. Pods of other data directories count as long as they run.
 */
export async function findLeftovers(
  host: Host,
  known: readonly KnownPod[],
  networks: readonly NetworkConf[],
): Promise<NetworkProblem[]> {
  const own = new Set(known.filter(({ podDir }) => recordedNetns(podDir) !== undefined).map(({ uuid }) => uuid));
  const others = strangers(own);
  const isGone = (uuid: string) => !own.has(uuid) && !others.living.includes(uuid);
  const isGoneShort = (short: string) => ![...own, ...others.living].some((uuid) => uuid.startsWith(short));
  const problems: NetworkProblem[] = others.dead.map(({ uuid, path }) => ({
    kind: "namespace",
    pod: uuid,
    network: undefined,
    message: `the network namespace ${path} has no pod and no process`,
    mend: async () => removeNetns(host, path),
  }));
  for (const found of (await podsWithRules()).filter(({ short }) => isGoneShort(short))) {
    problems.push({
      kind: "rules",
      pod: found.short,
      network: undefined,
      message: `rules of forwarded ports (${found.firewall}) lead to a pod that is gone`,
      mend: () => removeStrayRules(found),
    });
  }
  const names = new Set(networks.map(({ name }) => name));
  // Containers of other runtimes may have UUIDs as well; their networks are not rkt's.
  for (const found of (await masquerades()).filter(({ uuid, network }) => names.has(network) && isGone(uuid))) {
    problems.push({
      kind: "rules",
      pod: found.uuid,
      network: found.network,
      message: `masquerading rules (${found.firewall}) are left of a pod that is gone`,
      mend: () => removeMasquerade(found),
    });
  }
  for (const { link, uuid } of openLinks().filter(({ uuid }) => isGone(uuid))) {
    problems.push({
      kind: "link",
      pod: uuid,
      network: undefined,
      message: `${link} is open for loopback addresses on behalf of a pod that is gone`,
      mend: () => closeLink(host, uuid, link),
    });
  }
  for (const lease of networks.flatMap(leasesOf).filter(({ uuid }) => isGone(uuid))) {
    problems.push({
      kind: "lease",
      pod: lease.uuid,
      network: lease.network,
      message: `the address ${lease.ip} is leased to a pod that is gone`,
      mend: () => releaseLease(host, lease),
    });
  }
  return problems;
}

/** Asks each network's plugins whether they could add a pod now; which could not. */
export async function checkStatus(networks: readonly NetworkConf[], where: Searched): Promise<NetworkProblem[]> {
  const problems: NetworkProblem[] = [];
  for (const conf of networks) {
    try {
      await networkStatus(conf, await negotiateVersion(conf, { ...NOBODY, ...where }), where);
    } catch (error) {
      problems.push({
        kind: "status",
        pod: undefined,
        network: conf.name,
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return problems;
}

/**
 * Has plugins that know GC give back what no pod uses: pods of `known`, containers of other runtimes that libcni has a result of. The names of the networks that were
 * collected; none while pods of another data directory run, since nobody can say which of a network's attachments are theirs.
 */
export async function collectGarbage(
  known: readonly KnownPod[],
  networks: readonly NetworkConf[],
  where: Searched,
): Promise<{ collected: string[]; problems: NetworkProblem[] }> {
  const own = new Set(known.map(({ uuid }) => uuid));
  const collected: string[] = [];
  const problems: NetworkProblem[] = [];
  if (strangers(own).living.length > 0) return { collected, problems };
  for (const conf of networks) {
    const valid = [...attachmentsOf(conf.name, known), ...cachedAttachments(conf.name)];
    const version = await negotiateVersion(conf, { ...NOBODY, ...where });
    const errors = await collectNetwork(conf, version, valid, where);
    if (errors?.length === 0) collected.push(conf.name);
    for (const error of errors ?? []) {
      problems.push({ kind: "collect", pod: undefined, network: conf.name, message: error.message });
    }
  }
  return { collected, problems };
}

const NOBODY = { containerId: "", netns: "", ifName: "", args: "" };

function attachmentsOf(network: string, known: readonly KnownPod[]): { containerID: string; ifname: string }[] {
  return known.flatMap(({ uuid, podDir }) =>
    recordedNetworks(podDir).flatMap((entry) =>
      "error" in entry || entry.conf.name !== network ? [] : { containerID: uuid, ifname: entry.state.ifName },
    ),
  );
}

/** The results that libcni keeps for other runtimes (/var/lib/cni/results/NETWORK-CONTAINER-INTERFACE). */
function cachedAttachments(network: string): { containerID: string; ifname: string }[] {
  const dir = "/var/lib/cni/results";
  return listed(dir)
    .filter((file) => file.startsWith(`${network}-`))
    .flatMap((file) => {
      try {
        const { networkName, containerId, ifName } = objectOf(JSON.parse(readFileSync(join(dir, file), "utf8")));
        const [id, name] = [textOf(containerId), textOf(ifName)];
        return networkName !== network || id === undefined || name === undefined
          ? []
          : { containerID: id, ifname: name };
      } catch {
        return []; // Not a result: no attachment that anybody could vouch for.
      }
    });
}

/** The namespaces named like a pod's of which `own` knows nothing. */
function strangers(own: ReadonlySet<string>): { living: string[]; dead: { uuid: string; path: string }[] } {
  const inhabited = inhabitedNamespaces();
  const living: string[] = [];
  const dead: { uuid: string; path: string }[] = [];
  for (const path of listNetns()) {
    const uuid = path.slice(path.lastIndexOf("/cni-") + "/cni-".length);
    if (!isUuid(uuid) || own.has(uuid)) continue;
    if (inhabited.has(namespaceName(path))) living.push(uuid);
    else dead.push({ uuid, path });
  }
  return { living, dead };
}

/** As readlink(2) shows it: "net:[4026531840]". */
function namespaceName(path: string): string {
  return `net:[${statSync(path).ino}]`;
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
