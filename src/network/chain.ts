/** The operations on one network: ADD, DEL, CHECK, STATUS and GC, each plugin after the other. */

import { isObject, type JsonObject } from "../core/json.ts";
import { type CniVersion, executionConf, type NetworkConf, versionAtLeast } from "./conf.ts";
import { type Attachment, execPlugin } from "./plugin.ts";

/**
 * Adds the pod to a network and returns the last plugin's result. Throws HOST_PROGRAM at the first plugin that fails; the caller then runs {@link deleteNetwork}
 * (CNI specification, section 3, "Add an attachment").
 */
export async function addNetwork(
  conf: NetworkConf,
  version: CniVersion,
  runtimeConfig: JsonObject,
  attachment: Attachment,
): Promise<unknown> {
  let prevResult: unknown;
  for (const plugin of conf.plugins) {
    const stdin = executionConf(conf, version, plugin, { runtimeConfig, prevResult });
    const result = await execPlugin("ADD", conf.name, plugin.type, stdin, attachment);
    // Old plugins leave the version out, and the next one in the list could not decode the result without it.
    prevResult = isObject(result) ? { ...result, cniVersion: version } : result;
  }
  return prevResult;
}

/**
 * Removes the pod from a network: every plugin in reverse order, also those that ADD never reached (the specification asks plugins to bear it). Goes on after a
 * failure and returns all of them. `result` is what ADD returned, undefined when it did not end well.
 */
export async function deleteNetwork(
  conf: NetworkConf,
  version: CniVersion,
  runtimeConfig: JsonObject,
  result: unknown,
  attachment: Attachment,
): Promise<Error[]> {
  const errors: Error[] = [];
  const prevResult = versionAtLeast(version, "0.4.0") ? result : undefined;
  for (const plugin of [...conf.plugins].reverse()) {
    const text = `teardown - executing net-plugin ${plugin.type}`;
    attachment.emit({ kind: "debug", source: "networking", text });
    try {
      const stdin = executionConf(conf, version, plugin, { runtimeConfig, prevResult });
      await execPlugin("DEL", conf.name, plugin.type, stdin, attachment);
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  return errors;
}

/**
 * Asks every plugin whether what it made is still as it was: `result` is what ADD returned. Stops at the first that says no. False when the network cannot be asked: its
 * version has no CHECK (before 0.4.0), it has it switched off, or there is no result. Throws HOST_PROGRAM with the plugin's words (CNI specification, CHECK).
 */
export async function checkNetwork(
  conf: NetworkConf,
  version: CniVersion,
  runtimeConfig: JsonObject,
  result: unknown,
  attachment: Attachment,
): Promise<boolean> {
  if (!versionAtLeast(version, "0.4.0") || conf.disableCheck || result === undefined) return false;
  for (const plugin of conf.plugins) {
    const stdin = executionConf(conf, version, plugin, { runtimeConfig, prevResult: result });
    await execPlugin("CHECK", conf.name, plugin.type, stdin, attachment);
  }
  return true;
}

/** Asks every plugin whether it could add a pod now. False where the version has no STATUS (before 1.1.0). Throws HOST_PROGRAM (CNI specification, STATUS). */
export async function networkStatus(conf: NetworkConf, version: CniVersion, where: Searched): Promise<boolean> {
  if (!versionAtLeast(version, "1.1.0")) return false;
  for (const plugin of conf.plugins) {
    const stdin = executionConf(conf, version, plugin, { runtimeConfig: {}, prevResult: undefined });
    await execPlugin("STATUS", conf.name, plugin.type, stdin, { ...NOBODY, ...where });
  }
  return true;
}

/**
 * Tells every plugin what is still in use, so that it gives back everything else. Goes on after a failure and returns all of them; undefined where the version has no GC
 * (before 1.1.0), or the network has it switched off (CNI specification, GC).
 */
export async function collectNetwork(
  conf: NetworkConf,
  version: CniVersion,
  validAttachments: readonly { readonly containerID: string; readonly ifname: string }[],
  where: Searched,
): Promise<Error[] | undefined> {
  if (!versionAtLeast(version, "1.1.0") || conf.disableGc) return undefined;
  const errors: Error[] = [];
  for (const plugin of conf.plugins) {
    try {
      const stdin = executionConf(conf, version, plugin, {
        runtimeConfig: {},
        prevResult: undefined,
        validAttachments,
      });
      await execPlugin("GC", conf.name, plugin.type, stdin, { ...NOBODY, ...where });
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  return errors;
}

/** Where plugins are looked for. */
export type Searched = Pick<Attachment, "dirs" | "emit">;

/** STATUS and GC are about the network, not about a pod. */
const NOBODY = { containerId: "", netns: "", ifName: "", args: "" };
