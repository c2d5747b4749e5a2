/**
 * What a pod's directory says about its networks, written so that a teardown finds everything whenever the set-up was killed:
 *
 *   netns          path of the namespace, before it is made
 *   net/FILE       copy of a network's configuration, before its ADD (the original may be changed or gone by the time of the DEL)
 *   net/FILE.state how ADD was called, before it; with the result, after it
 *   net/ports      which ports are forwarded how, from before the first firewall rule (port-record.ts)
 *   net-info.json  rkt 1.x's list of networks, when all is done; what `rkt list` and `rkt status` show
 *
 * rkt 1.x wrote `netns`, `net/FILE` and `net-info.json`; its pods are torn down from those.
 */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import { isObject, type JsonObject, listOf, objectOf, textOf } from "../core/json.ts";
import { isErrno } from "../host/errno.ts";
import { CNI_VERSIONS, type CniVersion, type NetworkConf, parseNetworkConf } from "./conf.ts";
import type { Forwarding } from "./port-forwarding.ts";
import { parseForwarding } from "./port-record.ts";
import { netmask } from "./result.ts";
import type { NetworkInterface } from "./types.ts";

const STATE = ".state";
const PORTS = "ports";

/** How a network was, or was about to be, added. */
export interface NetworkState {
  readonly ifName: string;
  readonly args: string;
  readonly version: CniVersion;
  readonly runtimeConfig: JsonObject;
  /** Result of ADD; undefined while it runs. */
  readonly result: unknown;
}

export interface RecordedNetwork {
  /** Name of the copy in `net/`. */
  readonly file: string;
  readonly conf: NetworkConf;
  readonly state: NetworkState;
}

/** A recorded configuration that cannot be read any more. */
export interface LostNetwork {
  readonly file: string;
  readonly error: Error;
}

export function recordNetns(podDir: string, path: string): void {
  writeWhole(new PodFiles(podDir).netns, path);
}

/** The recorded path, or undefined for a pod without a namespace. */
export function recordedNetns(podDir: string): string | undefined {
  return textOf(readIfThere(new PodFiles(podDir).netns)?.trim());
}

/** Called before a network's ADD. `file` is the name of the copy. */
export function recordNetwork(podDir: string, file: string, conf: NetworkConf, state: NetworkState): void {
  const dir = new PodFiles(podDir).net;
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  // The state first: a copy without a state would be torn down by guess.
  recordState(podDir, file, state);
  writeWhole(join(dir, file), conf.text);
}

/** Called after a network's ADD: the state with the result. */
export function recordState(podDir: string, file: string, state: NetworkState): void {
  writeWhole(join(new PodFiles(podDir).net, `${file}${STATE}`), JSON.stringify(state));
}

/** Called before the first firewall rule. */
export function recordForwarding(podDir: string, forwarding: Forwarding): void {
  const dir = new PodFiles(podDir).net;
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  writeWhole(join(dir, PORTS), JSON.stringify(forwarding));
}

/** What is forwarded to the pod. "unknown": rules may exist, and nothing says which (rkt 1.x). Undefined: there are none. */
export function recordedForwarding(podDir: string): Forwarding | "unknown" | undefined {
  const files = listNet(podDir);
  if (files.includes(PORTS)) return parseForwarding(readIfThere(join(new PodFiles(podDir).net, PORTS))) ?? "unknown";
  return files.length > 0 && !files.some((file) => file.endsWith(STATE)) ? "unknown" : undefined;
}

/** The recorded networks in the order of their set-up. */
export function recordedNetworks(podDir: string): (RecordedNetwork | LostNetwork)[] {
  const dir = new PodFiles(podDir).net;
  const infos = readNetInfo(podDir);
  return listNet(podDir)
    .filter((file) => file !== PORTS && !file.endsWith(STATE) && !file.startsWith("."))
    .map((file, index) => {
      try {
        const conf = parseNetworkConf(file, join(dir, file), readFileSync(join(dir, file), "utf8"));
        const info = infos.find((entry) => basename(String(entry.netConf)) === file);
        return { file, conf, state: readState(join(dir, `${file}${STATE}`), conf, info, index) };
      } catch (error) {
        return { file, error: error instanceof Error ? error : new Error(String(error)) };
      }
    });
}

function readState(path: string, conf: NetworkConf, info: JsonObject | undefined, index: number): NetworkState {
  const saved = parseObject(readIfThere(path));
  return {
    ifName: textOf(saved.ifName) ?? textOf(info?.ifName) ?? `eth${index}`,
    // An empty string in the state is an answer: net-info.json shows what the user gave, which may be more than what the plugins got.
    args: typeof saved.args === "string" ? saved.args : (textOf(info?.args) ?? ""),
    version: CNI_VERSIONS.find((version) => version === saved.version) ?? conf.version,
    runtimeConfig: objectOf(saved.runtimeConfig),
    result: saved.result,
  };
}

/** Called when a network's DEL went well. */
export function forgetNetwork(podDir: string, file: string): void {
  const dir = new PodFiles(podDir).net;
  unlinkIfThere(join(dir, file));
  unlinkIfThere(join(dir, `${file}${STATE}`));
}

export function forgetPorts(podDir: string): void {
  unlinkIfThere(join(new PodFiles(podDir).net, PORTS));
}

/** Removes `net/` once no network is left in it: what remains then are states and temporary files of a set-up that was killed. */
export function forgetAll(podDir: string): void {
  const dir = new PodFiles(podDir).net;
  // File by file: unlink and rmdir refuse mount points and follow nothing, whatever somebody put there.
  for (const file of listNet(podDir)) unlinkIfThere(join(dir, file));
  try {
    rmdirSync(dir);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

export interface NetworkInfo {
  readonly file: string;
  readonly pluginPath: string;
  readonly args: string;
  readonly interface: NetworkInterface;
}

/** Writes net-info.json: rkt 1.x's keys, and `ip6` with `prefix6` where the network gave an IPv6 address. `netConf` is relative: the pod's directory moves. */
export function saveNetInfo(podDir: string, networks: readonly NetworkInfo[]): void {
  const entries = networks.map(({ file, pluginPath, args, interface: { network, ifName, ip4, ip6 } }) => ({
    netName: network,
    netConf: `net/${file}`,
    pluginPath,
    ifName,
    ip: ip4?.ip ?? "",
    args,
    mask: ip4 === undefined ? "" : netmask(ip4.prefix),
    ...(ip6 === undefined ? {} : { ip6: ip6.ip, prefix6: ip6.prefix }),
  }));
  writeWhole(new PodFiles(podDir).netInfo, `${JSON.stringify(entries)}\n`);
}

function readNetInfo(podDir: string): JsonObject[] {
  try {
    return listOf(JSON.parse(readIfThere(new PodFiles(podDir).netInfo) ?? "[]")).filter(isObject);
  } catch {
    return [];
  }
}

function parseObject(text: string | undefined): JsonObject {
  try {
    return objectOf(JSON.parse(text ?? "{}"));
  } catch {
    return {}; // Cut short by a crash of the host: the teardown falls back to net-info.json and the order of the files.
  }
}

function listNet(podDir: string): string[] {
  try {
    return readdirSync(new PodFiles(podDir).net).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Readers never see half a file. */
function writeWhole(path: string, text: string): void {
  const temporary = join(path, "..", `.${basename(path)}.new`);
  writeFileSync(temporary, text, { mode: 0o644 });
  renameSync(temporary, path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
