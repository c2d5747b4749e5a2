/** Decisions of a set-up that can be made before anything is touched. */

import { extname } from "node:path";
import type { JsonObject } from "../core/json.ts";
import type { NetworkConf } from "./conf.ts";
import type { NetList } from "./net-list.ts";
import { findPlugin } from "./plugin.ts";
import type { ForwardedPort } from "./types.ts";

export interface PlannedNetwork {
  readonly conf: NetworkConf;
  /** Name of the copy in the pod's `net/`. */
  readonly file: string;
  readonly ifName: string;
  /** As the user gave them. */
  readonly args: string;
  /** Those of them that are not handed over as runtime values. */
  readonly cniArgs: string;
  /** Values for plugins that declare the capability. */
  readonly runtimeConfig: JsonObject;
  readonly pluginPath: string;
}

export interface NetworkPlan {
  readonly networks: readonly PlannedNetwork[];
  /** Index of the network through which host and pod talk, -1 without networks. */
  readonly forwardable: number;
  /** rkt's own firewall rules are needed: there are ports, and no plugin takes them. */
  readonly ownForwarding: boolean;
}

/** Gives every network its interface, arguments and runtime values; `values` are those for any plugin that declares them. Throws NOT_FOUND for a plugin that is not installed. */
export function planNetworks(
  confs: readonly NetworkConf[],
  list: NetList,
  ports: readonly ForwardedPort[],
  dirs: readonly string[],
  values: JsonObject = {},
): NetworkPlan {
  const forwardable = forwardableIndex(confs);
  const mapping = ports.length === 0 ? -1 : mappingIndex(confs, forwardable);
  const files = new Set<string>();
  const networks = confs.map((conf, index) => {
    const [pluginPath = ""] = conf.plugins.map((plugin) => findPlugin(plugin.type, dirs));
    const args = list.args(conf.name);
    const { cniArgs, runtimeConfig: asked } = splitArguments(conf, args);
    const runtimeConfig = { ...declaredValues(conf, values), ...asked };
    return {
      conf,
      file: uniqueFile(conf.file, files),
      ifName: `eth${index}`,
      args,
      cniArgs,
      runtimeConfig: index === mapping ? { ...runtimeConfig, portMappings: portMappings(ports) } : runtimeConfig,
      pluginPath,
    };
  });
  return { networks, forwardable, ownForwarding: ports.length > 0 && mapping < 0 };
}

/** rkt 1.x: the first network with ipMasq, else the last. */
function forwardableIndex(confs: readonly NetworkConf[]): number {
  const masquerading = confs.findIndex((conf) => conf.ipMasq);
  return masquerading < 0 ? confs.length - 1 : masquerading;
}

/** The network whose plugins forward the ports (portmap): one only, since a port of the host can lead to one place. */
function mappingIndex(confs: readonly NetworkConf[], preferred: number): number {
  const takes = (conf: NetworkConf | undefined) => conf !== undefined && declares(conf, "portMappings");
  return takes(confs[preferred]) ? preferred : confs.findIndex(takes);
}

/** CNI conventions, "Dynamic Plugin specific fields": portMappings. */
function portMappings(ports: readonly ForwardedPort[]): JsonObject[] {
  return ports.map(({ hostPort, podPort, protocol, hostIp }) => ({
    hostPort,
    containerPort: podPort,
    protocol,
    ...(hostIp === undefined ? {} : { hostIP: hostIp }),
  }));
}

/**
 * `--net=NAME:IP=…;MAC=…`: where a plugin declares the capability, the value goes to it as a runtime value and to nobody as a CNI_ARGS pair: plugins refuse pairs that
 * they do not know, and host-local would take an address that comes both ways for two. Names of capabilities are the CNI conventions'; lists are written with "+".
 */
const CAPABILITY_ARGUMENTS: Readonly<Record<string, { capability: string; value: (words: string[]) => unknown }>> = {
  IP: { capability: "ips", value: (words) => words },
  ips: { capability: "ips", value: (words) => words },
  MAC: { capability: "mac", value: ([mac]) => mac },
  mac: { capability: "mac", value: ([mac]) => mac },
  aliases: { capability: "aliases", value: (words) => words },
  ipRanges: { capability: "ipRanges", value: (words) => words.map((subnet) => [{ subnet }]) },
  deviceID: { capability: "deviceID", value: ([id]) => id },
  infinibandGUID: { capability: "infinibandGUID", value: ([guid]) => guid },
};

function splitArguments(conf: NetworkConf, args: string): { cniArgs: string; runtimeConfig: JsonObject } {
  const given = new Map<string, string[]>();
  const rest = args.split(";").filter((pair) => {
    const equals = pair.indexOf("=");
    const [name, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    const known = Object.hasOwn(CAPABILITY_ARGUMENTS, name) ? CAPABILITY_ARGUMENTS[name] : undefined;
    if (known === undefined || !declares(conf, known.capability)) return true;
    given.set(name, [...(given.get(name) ?? []), ...value.split("+")]);
    return false;
  });
  const values = [...given].map(([name, words]) => {
    const { capability = "", value } = CAPABILITY_ARGUMENTS[name] ?? {};
    return [capability, value?.(words)] as const;
  });
  return { cniArgs: withLeave(rest.join(";")), runtimeConfig: Object.fromEntries(values) };
}

/** Of every plugin of a network one knows them, and the others of today refuse them (bridge: `unknown args ["IP=…"]`), which those of rkt 1.x's time did not. */
const ONE_PLUGINS_ARGUMENTS = ["IP", "GATEWAY", "SUBNET", "MAC"];

/** With the leave to pass over them (CNI conventions, "CNI_ARGS"). A pair that nobody may know stays an error of the plugins': it may be misspelt. */
function withLeave(cniArgs: string): string {
  const names = cniArgs.split(";").map((pair) => pair.slice(0, Math.max(pair.indexOf("="), 0)));
  return names.every((name) => ONE_PLUGINS_ARGUMENTS.includes(name)) ? `${cniArgs};IgnoreUnknown=1` : cniArgs;
}

/** Values that every network's plugins may ask for, whatever the user gave: those that `conf` declares. */
function declaredValues(conf: NetworkConf, values: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(values).filter(([capability]) => declares(conf, capability)));
}

export function declares(conf: NetworkConf, capability: string): boolean {
  return conf.plugins.some((plugin) => plugin.capabilities.has(capability));
}

/** A user's file may be called like a built-in's and hold another network. */
function uniqueFile(file: string, taken: Set<string>): string {
  const ending = extname(file);
  let name = file;
  for (let number = 2; taken.has(name); number += 1) {
    name = `${file.slice(0, file.length - ending.length)}-${number}${ending}`;
  }
  taken.add(name);
  return name;
}
