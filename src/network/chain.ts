/** ADD and DEL of one network: its plugins one after the other, each with the result of the one before. */

import { type CniVersion, executionConf, type NetworkConf, versionAtLeast } from "./conf.ts";
import { isObject, type JsonObject } from "./json.ts";
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
