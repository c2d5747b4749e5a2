/** Is the network of a running pod as it was made? And what of it can be made again while the pod runs. */

import { readlinkSync } from "node:fs";
import type { Host } from "../host/host.ts";
import { checkNetwork } from "./chain.ts";
import { type NamespaceView, viewNamespace } from "./namespace-view.ts";
import { bindNetns, isNetnsPath, netnsExists } from "./netns.ts";
import { type Attachment, pluginDirs } from "./plugin.ts";
import { type Forwarding, forwardPorts, missingForwarding, unforwardPorts } from "./port-forwarding.ts";
import { type RecordedNetwork, recordedForwarding, recordedNetns, recordedNetworks } from "./record.ts";
import { parseResult } from "./result.ts";
import type { NetworkContext, NetworkProblem } from "./types.ts";

/** One of a pod's networks, looked at. */
export interface CheckedNetwork {
  readonly network: string;
  readonly ifName: string;
  /** "ok": its plugins' CHECK found it in order. "seen": it has none; interface and addresses are there. "failed": see the problems. */
  readonly check: "ok" | "seen" | "failed";
}

export interface PodCheck {
  readonly networks: readonly CheckedNetwork[];
  readonly problems: readonly NetworkProblem[];
}

/** Looks at the network of a running pod. `pid` is a process in its network namespace. Changes nothing. */
export async function checkPodNetwork(context: NetworkContext, pid: number | undefined): Promise<PodCheck> {
  const { podDir, uuid, host } = context;
  const netns = recordedNetns(podDir);
  if (netns === undefined) return { networks: [], problems: [] };
  const problems: NetworkProblem[] = [];
  const mounted = isNetnsPath(netns) && netnsExists(host, netns);
  if (!mounted) problems.push(lostNamespace(uuid, netns, host, pid));
  const path = mounted ? netns : pid === undefined ? undefined : `/proc/${pid}/ns/net`;
  const networks: CheckedNetwork[] = [];
  if (path !== undefined) {
    const view = viewNamespace(host, path);
    for (const network of recordedNetworks(podDir)) {
      if ("error" in network) {
        problems.push({
          kind: "record",
          pod: uuid,
          network: undefined,
          message: `${network.file}: ${network.error.message}`,
        });
        continue;
      }
      const found = await checkOne(context, network, mounted ? path : undefined, view);
      networks.push(found.checked);
      problems.push(...found.problems);
    }
  }
  problems.push(...(await checkForwarding(host, uuid, recordedForwarding(podDir))));
  return { networks, problems };
}

async function checkOne(
  { uuid, localConfigDir, stage1NetDirs, emit }: NetworkContext,
  { conf, state }: RecordedNetwork,
  netns: string | undefined,
  view: NamespaceView,
): Promise<{ checked: CheckedNetwork; problems: NetworkProblem[] }> {
  const { ifName, args } = state;
  const answer = (check: CheckedNetwork["check"], ...problems: NetworkProblem[]) => ({
    checked: { network: conf.name, ifName, check },
    problems,
  });
  const problem = (kind: NetworkProblem["kind"], message: string): NetworkProblem => ({
    kind,
    pod: uuid,
    network: conf.name,
    message,
  });
  if (!view.interfaces.has(ifName)) return answer("failed", problem("interface", `its interface ${ifName} is gone`));
  if (state.result !== undefined) {
    const { ip4, ip6 } = parseResult(conf.name, ifName, state.result).interface;
    const lost = [ip4, ip6].flatMap((address) =>
      address === undefined || view.hasAddress(address.ip) ? [] : address.ip,
    );
    if (lost.length > 0)
      return answer("failed", problem("interface", `${ifName} has lost its address ${lost.join(", ")}`));
  }
  // What the plugins made names the file: they would refuse another one.
  if (netns === undefined) return answer("seen");
  const dirs = pluginDirs(localConfigDir, stage1NetDirs);
  const attachment: Attachment = { containerId: uuid, netns, ifName, args, dirs, emit };
  try {
    const asked = await checkNetwork(conf, state.version, state.runtimeConfig, state.result, attachment);
    return answer(asked ? "ok" : "seen");
  } catch (error) {
    return answer("failed", problem("check", error instanceof Error ? error.message : String(error)));
  }
}

/** The file of the namespace can be made again from any process in it. */
function lostNamespace(uuid: string, netns: string, host: Host, pid: number | undefined): NetworkProblem {
  const message = `its network namespace is not at ${netns}`;
  const problem = { kind: "namespace", pod: uuid, network: undefined, message } as const;
  if (pid === undefined || !isNetnsPath(netns)) return problem;
  // A process of the host's own namespace is not the pod's any more.
  if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync("/proc/self/ns/net")) return problem;
  return { ...problem, mend: async () => bindNetns(host, `/proc/${pid}/ns/net`, netns) };
}

async function checkForwarding(
  host: Host,
  uuid: string,
  forwarding: Forwarding | "unknown" | undefined,
): Promise<NetworkProblem[]> {
  if (forwarding === undefined || forwarding === "unknown") return [];
  const missing = await missingForwarding(uuid, forwarding);
  if (missing.length === 0) return [];
  return [
    {
      kind: "rules",
      pod: uuid,
      network: undefined,
      message: `rules of its forwarded ports are missing: ${missing.join(", ")}`,
      mend: async () => {
        await unforwardPorts(host, uuid, forwarding);
        await forwardPorts(host, uuid, forwarding);
      },
    },
  ];
}
