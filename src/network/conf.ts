/** Network configurations: single plugins (`*.conf`, as rkt 1.x) and lists of plugins (`*.conflist`), CNI specification 0.1.0 to 1.1.0, section 1. */

import { RktError } from "../core/errors.ts";
import { isObject, type JsonObject, listOf, objectOf, textOf, textsOf } from "../core/json.ts";
import { printable, quoted } from "../core/text.ts";

export const CNI_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

export interface PluginConf {
  readonly type: string;
  /** Names of runtime values that the plugin takes (`capabilities`, only those that are true). */
  readonly capabilities: ReadonlySet<string>;
  readonly fields: JsonObject;
}

export interface NetworkConf {
  readonly name: string;
  /** File name; the order of networks is the order of these. */
  readonly file: string;
  /** The whole configuration as text; what the copy in the pod's `net/` holds. */
  readonly text: string;
  readonly version: CniVersion;
  /** Versions among which the highest that every plugin speaks is chosen; empty: `version` it is. */
  readonly versions: readonly CniVersion[];
  readonly plugins: readonly PluginConf[];
  /** CHECK must not be called: what the plugins made is changed by somebody else (CNI 0.4.0). */
  readonly disableCheck: boolean;
  /** GC must not be called: others than rkt use the network (CNI 1.1.0). */
  readonly disableGc: boolean;
  /** The host masquerades what the pod sends; such a network is preferred for forwarded ports. */
  readonly ipMasq: boolean;
}

export function versionAtLeast(version: CniVersion, least: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
}

// A network's name becomes part of a path in plugins (/var/lib/cni/networks/NAME), a plugin's type is looked up in directories and executed as root: neither
// may lead elsewhere. The first rule is the specification's (libcni enforces it too).
const NETWORK_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const PLUGIN_TYPE = /^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/;

/**
 * Parses one configuration file. `file` is its name, `path` says in errors where it came from; `inline` gives the plugin configurations of the directory named
 * like the network (1.1.0, `loadOnlyInlinedPlugins`). Throws INVALID_CONFIG, or UNSUPPORTED for a CNI version from the future.
 */
export function parseNetworkConf(
  file: string,
  path: string,
  text: string,
  inline: (network: string) => JsonObject[] = () => [],
): NetworkConf {
  const refuse = (why: string, cause?: unknown) =>
    new RktError("INVALID_CONFIG", `error loading ${printable(path)}: ${why}`, cause === undefined ? {} : { cause });
  let conf: unknown;
  try {
    conf = JSON.parse(text);
  } catch (cause) {
    throw refuse(cause instanceof Error ? printable(cause.message) : "not JSON", cause);
  }
  if (!isObject(conf)) throw refuse("expected a JSON object");
  const name = textOf(conf.name);
  if (name === undefined) throw refuse("the network has no name");
  if (!NETWORK_NAME.test(name)) {
    throw refuse(`network name ${quoted(name)}, expected letters, digits, "_", "." and "-"`);
  }
  const isList = Array.isArray(conf.plugins) || file.endsWith(".conflist");
  const added = isList && !isTrue(conf.loadOnlyInlinedPlugins) ? inline(name) : [];
  const plugins = [...(isList ? listOf(conf.plugins) : [conf]), ...added].map((plugin) => parsePlugin(plugin, refuse));
  if (plugins.length === 0) throw refuse(`network ${quoted(name)} has no plugins`);
  const whole: JsonObject =
    added.length === 0 ? conf : { ...conf, plugins: [...listOf(conf.plugins), ...added], loadOnlyInlinedPlugins: true };
  const declared = textOf(conf.cniVersion) ?? "0.1.0";
  const versions = CNI_VERSIONS.filter((version) => textsOf(conf.cniVersions).includes(version));
  const version = CNI_VERSIONS.find((known) => known === declared) ?? versions.at(-1);
  if (version === undefined) {
    throw new RktError(
      "UNSUPPORTED",
      `error loading ${printable(path)}: CNI version ${quoted(declared)}, expected one of ${CNI_VERSIONS.join(", ")}`,
    );
  }
  return {
    name,
    file,
    text: added.length === 0 ? text : `${JSON.stringify(whole, null, 2)}\n`,
    version,
    versions,
    plugins,
    disableCheck: isTrue(conf.disableCheck),
    disableGc: isTrue(conf.disableGC),
    ipMasq: plugins.some((plugin) => plugin.fields.ipMasq === true),
  };
}

/** A string counts too, as for libcni. */
function isTrue(value: unknown): boolean {
  return value === true || (typeof value === "string" && value.toLowerCase() === "true");
}

function parsePlugin(plugin: unknown, refuse: (why: string) => RktError): PluginConf {
  const fields = objectOf(plugin);
  const type = textOf(fields.type);
  if (type === undefined) throw refuse("a plugin has no type");
  if (!PLUGIN_TYPE.test(type)) throw refuse(`plugin type ${quoted(type)}, expected a file name`);
  const capabilities = Object.entries(objectOf(fields.capabilities)).filter(([, wanted]) => wanted === true);
  return { type, fields, capabilities: new Set(capabilities.map(([capability]) => capability)) };
}

export interface ExecutionValues {
  /** Runtime values by capability; each plugin gets those it asked for. */
  readonly runtimeConfig: JsonObject;
  /** The result of the plugin before (ADD), or of the whole network (DEL). */
  readonly prevResult: unknown;
  /** What is still in use (GC): plugins take away everything else. */
  readonly validAttachments?: readonly { readonly containerID: string; readonly ifname: string }[];
}

/** What one plugin gets on stdin (CNI specification 1.0.0, section 3, "Deriving execution configuration from plugin configuration"). */
export function executionConf(
  conf: NetworkConf,
  version: CniVersion,
  plugin: PluginConf,
  values: ExecutionValues,
): string {
  const { capabilities: _, ...fields } = plugin.fields;
  const runtimeConfig = Object.fromEntries(
    Object.entries(values.runtimeConfig).filter(([capability]) => plugin.capabilities.has(capability)),
  );
  return JSON.stringify({
    ...fields,
    cniVersion: version,
    name: conf.name,
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
    ...(values.prevResult === undefined ? {} : { prevResult: values.prevResult }),
    ...(values.validAttachments === undefined ? {} : { "cni.dev/valid-attachments": values.validAttachments }),
  });
}
