/** Teardown of a pod's network, from what is recorded in its directory; see record.ts. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/host.ts";
import { deleteNetwork } from "./chain.ts";
import { forgetMasquerades } from "./masquerade.ts";
import { viewNamespace } from "./namespace-view.ts";
import { isNetnsPath, netnsExists, removeNetns } from "./netns.ts";
import { pluginDirs } from "./plugin.ts";
import { unforwardPorts } from "./port-forwarding.ts";
import {
  forgetAll,
  forgetNetwork,
  forgetPorts,
  type LostNetwork,
  type RecordedNetwork,
  recordedForwarding,
  recordedNetns,
  recordedNetworks,
} from "./record.ts";
import { parseResult } from "./result.ts";
import type { NetworkContext, TeardownProblem } from "./types.ts";

/**
 * Removes forwarded ports, runs DEL of every recorded network in reverse order, removes the namespace and `net/`. Idempotent; works after a reboot and after a
 * set-up that was killed at any point. Goes on after a failure and returns what did not work; the record of a network whose DEL failed stays, so that
 * another call tries again. The caller holds the pod's lock, has made sure that no process of the pod is left, and is root in the host's network namespace.
 */
export async function tearDownNetwork(context: NetworkContext): Promise<TeardownProblem[]> {
  const { podDir, uuid, host } = context;
  const problems: TeardownProblem[] = [];
  const attempt = async (what: string, action: () => void | Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      problems.push({ what, error: error instanceof Error ? error : new Error(String(error)) });
    }
  };
  await attempt("port forwarding", async () => {
    const forwarding = recordedForwarding(podDir);
    if (forwarding === undefined) return;
    await unforwardPorts(host, uuid, forwarding === "unknown" ? undefined : forwarding);
    forgetPorts(podDir);
  });
  const netns = recordedNetns(podDir);
  // The path comes from a file and is unmounted and removed by root: nothing but a namespace's place may be named by it.
  const usable = netns !== undefined && isNetnsPath(netns);
  const live = usable && netnsExists(host, netns) ? netns : "";
  const networks = recordedNetworks(podDir).reverse();
  // Before the records that tell it are gone: a gc that is killed in between must leave enough for the next one. Where none are left, one was.
  if (usable && (networks.length === 0 || pluginsForget(host, live, networks)))
    await attempt("masquerading", () => forgetMasquerades(uuid, names(networks)));
  for (const network of networks) {
    if ("error" in network) problems.push({ what: `network file ${quoted(network.file)}`, error: network.error });
    else problems.push(...(await detach(context, network, live)));
  }
  await attempt("network namespace", () => {
    if (netns !== undefined && !usable) {
      throw new RktError("INVALID_INPUT", `Cannot remove network namespace ${quoted(netns)}: expected /run/netns/NAME`);
    }
    if (usable) removeNetns(host, netns);
  });
  if (problems.length === 0) await attempt("network records", () => forgetAll(podDir));
  return problems;
}

/** Plugins that masquerade find their rules by the addresses of the pod's interface: without namespace or address, what they made stays. */
function pluginsForget(host: Host, live: string, networks: readonly (RecordedNetwork | LostNetwork)[]): boolean {
  const masqueraded = networks.flatMap((network) => ("conf" in network && network.conf.ipMasq ? network : []));
  if (masqueraded.length === 0 || live === "") return masqueraded.length > 0;
  const view = viewNamespace(host, live);
  return masqueraded.some(({ conf, state }) => {
    if (state.result === undefined) return false; // Its ADD did not end well: there is nothing to compare with.
    const { ip4, ip6 } = parseResult(conf.name, state.ifName, state.result).interface;
    return [ip4, ip6].some((address) => address !== undefined && !view.hasAddress(address.ip));
  });
}

function names(networks: readonly (RecordedNetwork | LostNetwork)[]): string[] {
  return networks.flatMap((network) => ("conf" in network ? network.conf.name : []));
}

async function detach(
  { podDir, uuid, localConfigDir, stage1NetDirs, emit }: NetworkContext,
  { file, conf, state }: RecordedNetwork,
  netns: string,
): Promise<TeardownProblem[]> {
  const errors = await deleteNetwork(conf, state.version, state.runtimeConfig, state.result, {
    containerId: uuid,
    // Without the namespace (after a reboot) plugins give back addresses and rules, and leave interfaces alone (CNI specification, DEL).
    netns,
    ifName: state.ifName,
    args: state.args,
    dirs: pluginDirs(localConfigDir, stage1NetDirs),
    emit,
  });
  if (errors.length === 0) forgetNetwork(podDir, file);
  return errors.map((error) => ({ what: `network ${quoted(conf.name)}`, error }));
}
