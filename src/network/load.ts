/** Which networks a pod joins: the selected ones among LOCALCONFIG/net.d and the built-in two. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { isObject, type JsonObject } from "../core/json.ts";
import { printable, quoted } from "../core/text.ts";
import { isErrno } from "../host/errno.ts";
import { BUILTIN_NETWORKS } from "./builtin.ts";
import { type NetworkConf, parseNetworkConf } from "./conf.ts";
import type { NetList } from "./net-list.ts";

/**
 * The networks selected by `list`, in the order of their file names; a user's network replaces the built-in of the same name. Throws NOT_FOUND
 * (`networks not found: a, b`), INVALID_CONFIG for any file that cannot be read or understood: it may be the one that was meant.
 */
export function loadNetworks(list: NetList, localConfigDir: string, emit: Emit): NetworkConf[] {
  const selected = (conf: NetworkConf) => list.all || list.has(conf.name);
  const networks = new Map<string, NetworkConf>();
  for (const { file, text } of BUILTIN_NETWORKS) {
    const conf = parseNetworkConf(file, file, text);
    if (selected(conf)) networks.set(conf.name, conf);
  }
  const dir = join(localConfigDir, "net.d");
  const builtin = new Set(networks.keys());
  for (const conf of userNetworks(dir, emit)) {
    if (!selected(conf)) continue;
    if (builtin.delete(conf.name))
      notice(emit, `overriding ${quoted(conf.name)} network with one from ${printable(dir)}`);
    else if (networks.has(conf.name)) {
      notice(emit, `${quoted(conf.name)} network already defined, ignoring ${printable(conf.file)}`);
      continue;
    }
    networks.set(conf.name, conf);
  }
  const missing = list.names.filter((name) => name !== "all" && !networks.has(name));
  if (missing.length > 0) {
    throw new RktError("NOT_FOUND", `networks not found: ${missing.map((name) => printable(name)).join(", ")}`, {
      hint: `networks are configured in ${printable(dir)}`,
    });
  }
  return [...networks.values()].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
}

/** Every network that is configured, the built-in ones included. Throws as {@link loadNetworks}. */
export function configuredNetworks(localConfigDir: string, emit: Emit): NetworkConf[] {
  const everything: NetList = { names: [], args: () => "", has: () => true, all: true, host: false, none: false };
  return loadNetworks(everything, localConfigDir, emit);
}

function* userNetworks(dir: string, emit: Emit): Generator<NetworkConf> {
  emit({ kind: "debug", source: "networking", text: `loading networks from ${printable(dir)}` });
  for (const file of confFiles(dir, [".conf", ".conflist"])) {
    const path = join(dir, file);
    yield parseNetworkConf(file, path, readConf(path), (network) => inlinePlugins(join(dir, network)));
  }
}

/** The directory named like a network holds more of its plugins (CNI 1.1.0). */
function inlinePlugins(dir: string): JsonObject[] {
  return confFiles(dir, [".conf"]).map((file) => {
    const path = join(dir, file);
    let conf: unknown;
    try {
      conf = JSON.parse(readConf(path));
    } catch {
      // Reported below.
    }
    if (isObject(conf)) return conf;
    throw new RktError("INVALID_CONFIG", `error loading ${printable(path)}: expected a JSON object`);
  });
}

function confFiles(dir: string, endings: readonly string[]): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && endings.some((ending) => entry.name.endsWith(ending)))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function readConf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `error loading ${printable(path)}: it cannot be read`, { cause });
  }
}

/** rkt 1.x printed these whether or not `--debug` was given. */
function notice(emit: Emit, text: string): void {
  emit({ kind: "notice", source: "networking", text });
}
