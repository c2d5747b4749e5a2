/**
 * app/add, app/rm, app/start, app/stop: apps of a pod that runs. Their caller holds the lock on the pod's manifest for add and rm (docs/app-commands.md). Files in
 * the pod are written by descriptor, mounts are made in the pod's namespace (pod-namespace.ts), and everything else is asked of the pod's own systemd (manage.ts).
 */

import { readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { openBeneath, readFileBeneath, removeFileBeneath, replaceFileBeneath } from "../../src/host/beneath.ts";
import { type Host, isErrno, O } from "../../src/host/mod.ts";
import { removeTree } from "../../src/host/remove-tree.ts";
import { type App, capabilitySets, isAcName, type PodManifest, parsePodManifest } from "../../src/spec/appc/mod.ts";
import { appStatusFiles, logsDeniedCalls, STAGE1_ENV } from "../../src/stage1-contract/mod.ts";
import { makeDirectoryInRoot } from "../common/in-root.ts";
import type { Entrypoint, Stage1Io } from "../common/io.ts";
import { appFiles, appTraces } from "./app-files.ts";
import { readDisks } from "./devices.ts";
import { addIdentity, openPod, type PodInit, pathOf } from "./enter-request.ts";
import { type LaterApps, readLaterApps } from "./later-apps.ts";
import { sliceName } from "./limits.ts";
import { manage } from "./manage.ts";
import { mountAddedApp, unmountApp } from "./pod-namespace.ts";
import { type PodApp, prepareApp } from "./prepare-apps.ts";
import { kernelRelease } from "./run.ts";

/** The app's tree is mounted at its place in the stage1's root, in the caller's mount namespace; the app is in the pod's manifest. */
export const appAdd: Entrypoint = async (argv, io) => {
  const { host, podDir } = io;
  const name = appOf(argv);
  const manifest = parsePodManifest(readFileSync(new PodFiles(podDir).manifest, "utf8"));
  const runtimeApp = manifest.apps.find((app) => app.name === name);
  if (runtimeApp === undefined) throw new RktError("NOT_FOUND", `error: nonexistent app ${quoted(name)}`);
  const later = readLaterApps(podDir);
  const pod = podOf(io);
  const app = prepareApp(
    io,
    new PodFiles(podDir),
    { manifest, inherited: [], context: later.dev.context, journal: later.dev.journal !== undefined },
    runtimeApp,
    new Map(),
  );
  requirePossible(name, app, later);
  mountAddedApp(host, pod, new PodFiles(podDir).appRootfs(name), app.mounts, later);
  writeApp(host, pod, app, manifest, later);
  return 0;
};

/** Ends the app and takes everything of it out of the pod; what is not there (any more) is no error, so that a removal can be repeated. */
export const appRm: Entrypoint = async (argv, io) => {
  const { host } = io;
  const name = appOf(argv);
  const pod = podOf(io);
  const slice = sliceName(name).replaceAll("\\", "\\\\");
  await manage(host, pod, [
    `-stop ${name}.service`,
    `-stop iomux-${name}.service enter-${name}@*.service ${slice}`,
    `-reset-failed ${name}.service`,
  ]);
  // Written later it would stay behind.
  await statusWritten(host, pod, name);
  unmountApp(host, pod, name);
  for (const [directory, entry] of appTraces(name)) removeIn(host, pod, directory, entry);
  await manage(host, pod, ["daemon-reload"]);
  return 0;
};

export const appStart: Entrypoint = async (argv, io) => {
  const { host } = io;
  const name = appOf(argv);
  const pod = podOf(io);
  const files = appStatusFiles(name);
  const unit = `${name}.service`;
  if ((await manage(host, pod, [`is-active ${unit}`])) === 0) return 0;
  await statusWritten(host, pod, name);
  for (const file of [files.status, files.result]) removeFileBeneath(host, pathOf(pod.root), `rkt/status/${file}`);
  writeIn(host, pod, "rkt/status", files.started, "", 0o644);
  const started = await manage(host, pod, [`-reset-failed ${unit}`, `start ${unit}`]);
  if (started === 0) return 0;
  // An app that has ended by now may have been started all the same: only statuses of systemd's own (systemd.exec(5)), and none at all, say that it was not.
  await statusWritten(host, pod, name);
  const text = readFileBeneath(host, pathOf(pod.root), `rkt/status/${files.status}`, 4096)?.toString("latin1") ?? "";
  const status = text === "" ? 254 : Number(text);
  return status === 254 || (status >= 200 && status <= 245) ? started : 0;
};

/** Gives 5 for an app whose unit is not loaded, as systemctl does. */
export const appStop: Entrypoint = async (argv, io) => {
  const { host } = io;
  const name = appOf(argv);
  const pod = podOf(io);
  const status = await manage(host, pod, [`stop ${name}.service`, `-stop iomux-${name}.service`]);
  await statusWritten(host, pod, name);
  return status;
};

/** The record of an app's end is written by a unit that the pod's systemd starts right after it (app-ended): without it, the end is not over. */
async function statusWritten(host: Host, pod: PodInit, name: string): Promise<void> {
  const { started, status } = appStatusFiles(name);
  const has = (file: string) => readFileBeneath(host, pathOf(pod.root), `rkt/status/${file}`, 4096) !== undefined;
  for (const deadline = performance.now() + 5000; has(started) && !has(status) && performance.now() < deadline; )
    await Bun.sleep(5);
}

function podOf({ host, env }: Stage1Io): PodInit {
  const pid = Number(env[STAGE1_ENV.enterPid] ?? "");
  if (!Number.isSafeInteger(pid) || pid < 2)
    throw new RktError("USAGE", `Cannot change the pod: ${STAGE1_ENV.enterPid} is no process number`);
  return openPod(host, pid, "change the pod");
}

/** `--app=NAME`; also `--app NAME`. Throws USAGE. */
function appOf(argv: readonly string[]): string {
  const at = argv.indexOf("--app");
  const name = argv.find((word) => word.startsWith("--app="))?.slice("--app=".length) ?? argv[at + 1] ?? "";
  if (isAcName(name)) return name;
  throw new RktError("USAGE", `Cannot change the pod: ${quoted(name)} is no app name`);
}

/** What a pod does not have when it starts, it does not get later: an app that asks for it is refused, not started without. Throws UNSUPPORTED. */
function requirePossible(name: string, { unit }: PodApp, later: LaterApps): void {
  const missing = missingCapabilities(unit.app, later);
  if (missing.length > 0) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot add app ${quoted(name)}: its pod was started without ${missing.join(", ")}`,
      { hint: "start the pod with `rkt app sandbox --insecure-options=capabilities`" },
    );
  }
  if (logsDeniedCalls(unit.runtimeApp)) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot add app ${quoted(name)} with --seccomp=mode=log: its pod has a filter of its own, which would deny calls first`,
      { hint: "run the app in a pod of its own" },
    );
  }
  const device = unit.volumes.find(({ open }) => open.device !== undefined);
  if (device !== undefined && !later.disablePaths) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot add app ${quoted(name)}: the device at ${quoted(device.target)} is not among those that its pod was started with`,
      { hint: "start the pod with `rkt app sandbox --insecure-options=paths`, or run the app in a pod of its own" },
    );
  }
}

function missingCapabilities(app: App, { capabilities }: LaterApps): string[] {
  if (capabilities === undefined) return [];
  return (capabilitySets(app.isolators).retain ?? []).filter((one) => !capabilities.includes(one));
}

/** The app is whole when the mark that it was created is there. */
function writeApp(host: Host, pod: PodInit, app: PodApp, manifest: PodManifest, later: LaterApps): void {
  const { identity, runtimeApp } = app.unit;
  addIdentity(host, pod.root, identity);
  for (const gid of identity.groups) addIdentity(host, pod.root, { uid: 0, gid });
  const journal = { none: "no", console: "too", output: "only" } as const;
  const options = {
    ...({ input: "none", mutable: true, restarts: false } as const),
    journal: journal[later.dev.journal ?? "none"],
    kernel: kernelRelease(),
    disks: readDisks().map(({ name }) => `/rkt/disks/${name}`),
    disableCapabilities: later.capabilities === undefined,
    disablePaths: later.disablePaths,
    disableSeccomp: later.disableSeccomp,
    limits: later.limits,
    privateUsers: false,
  };
  for (const [path, { text, mode }] of appFiles(app, manifest, options)) {
    const slash = path.lastIndexOf("/");
    writeIn(host, pod, path.slice(0, slash), path.slice(slash + 1), text, mode);
  }
  writeIn(host, pod, "rkt/status", appStatusFiles(runtimeApp.name).created, "", 0o644);
}

function writeIn(
  host: Host,
  pod: PodInit,
  directory: string,
  name: string,
  text: string | Uint8Array,
  mode: number,
): void {
  host.close(makeDirectoryInRoot(host, pod.root, directory));
  replaceFileBeneath(host, pathOf(pod.root), `${directory}/${name}`, text, mode);
}

function removeIn(host: Host, pod: PodInit, directory: string, name: string): void {
  let parent: number;
  try {
    parent = openBeneath(host, pathOf(pod.root), directory, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  try {
    removeTree(host, parent, name);
  } finally {
    host.close(parent);
  }
}
