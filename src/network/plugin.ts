/** Executing CNI plugins: the protocol of environment, stdin and stdout (CNI specification, section 2). */

import { join } from "node:path";
import { type ErrorCode, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { objectOf, textOf, textsOf } from "../core/json.ts";
import { printable, quoted } from "../core/text.ts";
import { CNI_VERSIONS, type CniVersion, type NetworkConf } from "./conf.ts";
import { findExecutable, programEnvironment, runProgram } from "./program.ts";

/** Where plugins are searched: rkt 1.x's places first, then those of the distributions and of containernetworking. */
export function pluginDirs(localConfigDir: string, stage1NetDirs: readonly string[]): string[] {
  return [join(localConfigDir, "net.d"), "/usr/lib/rkt/plugins/net", ...stage1NetDirs, "/usr/lib/cni", "/opt/cni/bin"];
}

/** Throws NOT_FOUND in rkt's words. */
export function findPlugin(type: string, dirs: readonly string[]): string {
  const path = findExecutable(type, dirs);
  if (path !== undefined) return path;
  throw new RktError("NOT_FOUND", `Could not find plugin ${quoted(type)}`, {
    hint: `searched in ${dirs.join(", ")}; Debian's plugins are in the package containernetworking-plugins`,
  });
}

export type PluginCommand = "ADD" | "DEL" | "CHECK" | "STATUS" | "GC" | "VERSION";

/** One attachment: which pod, which namespace, which interface. */
export interface Attachment {
  readonly containerId: string;
  /** "" when the namespace is gone (DEL only). */
  readonly netns: string;
  readonly ifName: string;
  readonly args: string;
  readonly dirs: readonly string[];
  readonly emit: Emit;
}

/**
 * Runs one plugin and returns what it printed, parsed (undefined when nothing). `conf` is its execution configuration. Throws HOST_PROGRAM with the plugin's own
 * code, message and details.
 */
export async function execPlugin(
  command: PluginCommand,
  network: string,
  type: string,
  conf: string,
  attachment: Attachment,
): Promise<unknown> {
  const path = findPlugin(type, attachment.dirs);
  const env = { ...programEnvironment(), ...protocol(command, attachment) };
  const { status, stdout, stderr } = await runProgram([path], env, conf);
  for (const line of stderr.split("\n")) {
    if (line !== "") attachment.emit({ kind: "debug", source: "networking", text: `${type}: ${printable(line)}` });
  }
  let answer: unknown;
  try {
    answer = stdout.trim() === "" ? undefined : JSON.parse(stdout);
  } catch (cause) {
    if (status === 0) throw failure(command, network, type, `it printed ${quoted(stdout)}, expected JSON`, cause);
  }
  if (status === 0) return answer;
  const { code, msg, details } = objectOf(answer);
  if (textOf(msg) === undefined && typeof code !== "number") {
    const words = printable(`${stdout} ${stderr}`.trim(), 2000);
    throw failure(command, network, type, `exit status ${status}${words === "" ? "" : `: ${words}`}`);
  }
  const more = textOf(details) === undefined ? "" : `; ${printable(String(details), 2000)}`;
  throw failure(
    command,
    network,
    type,
    `${printable(String(msg ?? ""), 2000)}${more} (CNI error code ${String(code)})`,
  );
}

const ACTIONS: Readonly<Record<PluginCommand, string>> = {
  ADD: "add",
  DEL: "delete",
  CHECK: "check",
  STATUS: "use",
  GC: "collect garbage of",
  VERSION: "use",
};

function failure(command: PluginCommand, network: string, type: string, why: string, cause?: unknown): RktError {
  const code: ErrorCode = "HOST_PROGRAM";
  const message = `Cannot ${ACTIONS[command]} network ${quoted(network)}: plugin ${quoted(type)} failed: ${why}`;
  return new RktError(code, message, cause === undefined ? {} : { cause });
}

/** STATUS and GC have no attachment: its variables are absent then, not empty. */
function protocol(command: PluginCommand, attachment: Attachment): Record<string, string> {
  if (command === "STATUS" || command === "GC") {
    return { CNI_COMMAND: command, CNI_PATH: attachment.dirs.join(":") };
  }
  return {
    // Not of the specification any more; plugins of rkt 1.x's time may read it.
    CNI_VERSION: "0.1.0",
    CNI_COMMAND: command,
    CNI_CONTAINERID: attachment.containerId,
    CNI_NETNS: attachment.netns,
    CNI_IFNAME: attachment.ifName,
    CNI_ARGS: attachment.args,
    CNI_PATH: attachment.dirs.join(":"),
  };
}

/**
 * The version to speak with a network's plugins: the highest of `cniVersions` that all of them know (CNI 1.1.0), asked for by VERSION only when there is a
 * choice: each question costs a start of the plugin.
 */
export async function negotiateVersion(conf: NetworkConf, attachment: Attachment): Promise<CniVersion> {
  if (conf.versions.length < 2) return conf.versions[0] ?? conf.version;
  let common: readonly CniVersion[] = conf.versions;
  for (const type of new Set(conf.plugins.map((plugin) => plugin.type))) {
    const question = JSON.stringify({ cniVersion: CNI_VERSIONS.at(-1) });
    const answer = await execPlugin("VERSION", conf.name, type, question, attachment);
    const known = textsOf(objectOf(answer).supportedVersions);
    common = common.filter((version) => known.includes(version));
  }
  const version = common.at(-1);
  if (version !== undefined) return version;
  throw new RktError(
    "UNSUPPORTED",
    `Cannot use network ${quoted(conf.name)}: no plugin version in common among ${conf.versions.join(", ")}`,
  );
}
