/** Set-up of a pod's network: namespace, networks, forwarded ports. Every step is written down before it is taken; see record.ts. */

import { closeSync, existsSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import { errorChain, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { JsonObject } from "../core/json.ts";
import { quoted } from "../core/text.ts";
import { bandwidthValue, withBandwidth } from "./bandwidth.ts";
import { addNetwork } from "./chain.ts";
import type { NetworkConf } from "./conf.ts";
import { loadNetworks } from "./load.ts";
import { parseNetList } from "./net-list.ts";
import { createNetns, netnsPath } from "./netns.ts";
import { declares, type PlannedNetwork, planNetworks } from "./plan.ts";
import { type Attachment, negotiateVersion, pluginDirs } from "./plugin.ts";
import { forwardPorts, planForwarding } from "./port-forwarding.ts";
import {
  forgetAll,
  forgetNetwork,
  recordedForwarding,
  recordedNetworks,
  recordForwarding,
  recordNetns,
  recordNetwork,
  recordState,
  saveNetInfo,
} from "./record.ts";
import { releasePorts, reservePorts } from "./reserve-ports.ts";
import { type CniResult, parseResult } from "./result.ts";
import { lockSetUps } from "./set-up-lock.ts";
import { tearDownNetwork } from "./tear-down.ts";
import type { NetworkContext, NetworkResult, SetUpNetwork } from "./types.ts";

/**
 * Makes the pod's network namespace, adds it to the networks of `net`, forwards the ports, and writes net-info.json. Undefined for `host`: the pod has no
 * namespace of its own. The caller holds the pod's lock, is root, and is in the host's network namespace. When it throws, nothing is left behind: USAGE and
 * NOT_FOUND for what `net` names, INVALID_CONFIG, CONFLICT when the pod has a network already or a port is taken, HOST_PROGRAM with the plugin's words, UNSUPPORTED for ports
 * without a nat table, SYSTEM_CALL.
 */
export async function setUpNetwork(request: SetUpNetwork): Promise<NetworkResult | undefined> {
  const list = parseNetList(request.net);
  if (list.host) return undefined;
  const { podDir, uuid, emit } = request;
  if (list.none && request.ports.length > 0) {
    throw new RktError("USAGE", "--port flag does not work with 'none' networking");
  }
  if (list.none) emit({ kind: "notice", source: "networking", text: "networking namespace with loopback only" });
  const found = list.none ? [] : loadNetworks(list, request.localConfigDir, emit);
  const { bandwidth } = request;
  // Where a plugin asks for the limit, it gets it; elsewhere one that limits comes after the network's own.
  const limited = (conf: NetworkConf) => bandwidth === undefined || declares(conf, "bandwidth");
  const confs = found.map((conf) => (limited(conf) ? conf : withBandwidth(conf, bandwidth ?? 0)));
  const values = runtimeValues(request);
  const dirs = pluginDirs(request.localConfigDir, request.stage1NetDirs);
  const plan = planNetworks(confs, list, request.ports, dirs, values);
  if (existsSync(new PodFiles(podDir).net)) {
    throw new RktError("CONFLICT", `Cannot set up the network of pod ${quoted(uuid)}: it has one already`, {
      hint: "`rkt gc` removes what a dead pod left",
    });
  }
  const lock = await lockSetUps(request.host, "shared");
  let portSockets: readonly number[] = [];
  const netns = netnsPath(uuid);
  const release = () => {
    releasePorts(request.host, portSockets);
    closeSync(lock);
  };
  try {
    portSockets = reservePorts(request.host, request.ports);
    recordNetns(podDir, netns);
    createNetns(request.host, netns);
  } catch (error) {
    release();
    throw error;
  }
  try {
    const results: CniResult[] = [];
    for (const network of plan.networks) results.push(await attach(request, network, { netns, dirs }));
    const forwardable = forwardableOf(results[plan.forwardable]);
    if (plan.ownForwarding) await forwardOwn(request, results[plan.forwardable]);
    const infos = plan.networks.flatMap(({ file, pluginPath, args }, index) => {
      const result = results[index];
      return result === undefined ? [] : [{ file, pluginPath, args, interface: result.interface }];
    });
    saveNetInfo(podDir, infos);
    return {
      netnsPath: netns,
      interfaces: infos.map((info) => info.interface),
      dns: firstDns(results, emit),
      held: [lock],
      portSockets,
      forwardable,
    };
  } catch (error) {
    await undo(request);
    release();
    throw error;
  }
}

/** What plugins may ask for of any pod, by the names of the CNI conventions. */
function runtimeValues({ bandwidth, cgroupPath, dns }: SetUpNetwork): JsonObject {
  return {
    ...(bandwidth === undefined ? {} : { bandwidth: bandwidthValue(bandwidth) }),
    ...(cgroupPath === undefined ? {} : { cgroupPath }),
    ...(dns === undefined ? {} : { dns: { servers: dns.servers, searches: dns.searches } }),
  };
}

async function attach(
  { podDir, uuid, emit }: NetworkContext,
  { conf, file, ifName, cniArgs: args, runtimeConfig }: PlannedNetwork,
  where: { netns: string; dirs: readonly string[] },
): Promise<CniResult> {
  const type = conf.plugins[0]?.type ?? "";
  emit({ kind: "debug", source: "networking", text: `loading network ${conf.name} with type ${type}` });
  const attachment: Attachment = { containerId: uuid, ifName, args, emit, ...where };
  const version = await negotiateVersion(conf, attachment);
  const state = { ifName, args, version, runtimeConfig };
  recordNetwork(podDir, file, conf, { ...state, result: undefined });
  const result = await addNetwork(conf, version, runtimeConfig, attachment);
  recordState(podDir, file, { ...state, result });
  return parseResult(conf.name, ifName, result);
}

async function forwardOwn({ host, podDir, uuid, ports }: SetUpNetwork, result: CniResult | undefined): Promise<void> {
  const { ip4, ip6 } = result?.interface ?? {};
  const forwarding = planForwarding({ ip4: ip4?.ip, ip6: ip6?.ip }, ports);
  recordForwarding(podDir, forwarding);
  await forwardPorts(host, uuid, forwarding);
}

function forwardableOf(result: CniResult | undefined): NetworkResult["forwardable"] {
  if (result?.interface.ip4 === undefined) return undefined;
  const { network, ifName, ip4 } = result.interface;
  return { network, ifName, ip: ip4.ip, gateway: ip4.gateway };
}

/** The first network that says anything about DNS decides. */
function firstDns(results: readonly CniResult[], emit: Emit): NetworkResult["dns"] {
  const [first, ...ignored] = results.flatMap((result) => result.dns ?? []);
  for (const { network } of ignored) {
    emit({ kind: "warning", text: `network ${network} plugin specified DNS configuration, but DNS already supplied` });
  }
  return first;
}

/**
 * After a failed step: the same teardown that `gc` would run. What it cannot remove is told; the first error is the one that counts. A network that its plugins could neither add
 * nor delete is forgotten: with its record every gc would fail as DEL did now, and keep the pod. What they have left all the same, `rkt net repair` finds.
 */
async function undo(request: SetUpNetwork): Promise<void> {
  const { podDir } = request;
  const problems = await tearDownNetwork(request);
  for (const { what, error } of problems) {
    request.emit({ kind: "warning", text: `cannot clean up ${what}: ${errorChain(error)[0] ?? ""}` });
  }
  if (problems.length === 0) return;
  for (const network of recordedNetworks(podDir))
    if ("state" in network && network.state.result === undefined) forgetNetwork(podDir, network.file);
  if (recordedNetworks(podDir).length === 0 && recordedForwarding(podDir) === undefined) forgetAll(podDir);
}
