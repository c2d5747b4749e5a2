/** What a stage1 is about to do for a pod, in words: `--debug` prints it before anything is mounted or started. Pure, and the same for every flavor. */

import { quoted } from "../../src/core/text.ts";
import type { Isolator, PodManifest, RuntimeApp, Volume } from "../../src/spec/appc/mod.ts";
import type { RunArguments } from "../../src/stage1-contract/mod.ts";
import { appMounts } from "./mounts.ts";

/**
 * One line a step, in the order in which they are taken. Values of variables, arguments and annotations are left out: they may be secrets. Throws INVALID_INPUT as
 * appMounts does.
 */
export function plan(
  manifest: PodManifest,
  run: Pick<RunArguments, "net" | "hostname" | "ipc">,
  recursiveByDefault: boolean,
): string[] {
  return [
    `network ${quoted(run.net)}${run.hostname === undefined ? "" : `, host name ${quoted(run.hostname)}`}${run.ipc === "parent" ? ", the host's IPC" : ""}`,
    ...manifest.isolators.map((isolator) => `the pod: ${isolatorText(isolator)}`),
    ...manifest.apps.flatMap((app) =>
      appSteps(manifest, app, recursiveByDefault).map((text) => `app ${app.name}: ${text}`),
    ),
  ];
}

function appSteps(manifest: PodManifest, runtimeApp: RuntimeApp, recursiveByDefault: boolean): string[] {
  const { app } = runtimeApp;
  if (app === undefined) return ["nothing to run"];
  const { mounts, unfilled } = appMounts(manifest, runtimeApp, recursiveByDefault);
  const handlers = (name: string) =>
    app.eventHandlers.filter((one) => one.name === name).map(({ exec }) => `${name} handler ${programText(exec)}`);
  const groups = app.supplementaryGids.length === 0 ? "" : `, groups ${app.supplementaryGids.join(", ")}`;
  return [
    ...(runtimeApp.readOnlyRootFs ? ["a read-only root"] : []),
    ...mounts.map(
      ({ volume, target, readOnly, recursive }) =>
        `${volumeText(volume)} at ${quoted(target)}${readOnly ? ", read-only" : ""}${recursive ? "" : ", without what is mounted below it"}`,
    ),
    ...unfilled.map(({ name, path }) => `mount point ${name} at ${quoted(path)}: the image's own files`),
    ...app.isolators.map(isolatorText),
    ...handlers("pre-start"),
    `${programText(app.exec)} as user ${quoted(app.user)}, group ${quoted(app.group)}${groups} in ${quoted(app.workingDirectory || "/")}, with ${app.environment.length} variables`,
    ...handlers("post-stop"),
  ];
}

function programText([program = "", ...args]: readonly string[]): string {
  return `${quoted(program)}${args.length === 0 ? "" : ` and ${args.length} argument${args.length === 1 ? "" : "s"}`}`;
}

function volumeText(volume: Volume): string {
  if (volume.kind === "host") return `volume ${volume.name}, ${quoted(volume.source)} of the host,`;
  const size = volume.kind === "tmpfs" && volume.size !== undefined ? ` of ${volume.size}` : "";
  return `volume ${volume.name}, ${volume.kind}${size}, mode ${volume.mode}, owner ${volume.uid}:${volume.gid},`;
}

function isolatorText({ name, value }: Isolator): string {
  const text = JSON.stringify(value);
  return `${name} ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
}
