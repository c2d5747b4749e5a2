/**
 * Step 6: PreparedPod → RunningPod. This process mounts the pod's file systems and becomes its supervisor: run() below is the list of what happens, in order.
 * The pod is under pods/run and locked by this process; from here on a crash leaves a pod that `list` calls exited and `gc` removes.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import type { PreparedPod } from "../core/spine.ts";
import { callerState, handOver, linux } from "../host/mod.ts";
import { overlayOptions } from "../render/mod.ts";
import type { PodManifest } from "../spec/appc/mod.ts";
import { formatRunArguments, type RunArguments, STAGE1_ENV } from "../stage1-contract/mod.ts";
import { loadEntrypoints } from "./builtin-stage1.ts";
import { entrypointPath, type PodLayers, podLayers, stage1Environment } from "./call-stage1.ts";
import { mountOverlay } from "./mount-overlay.ts";
import type { ResolverFiles } from "./resolver-files.ts";
import type { Stage1 } from "./stage1-image.ts";

export interface StartOptions {
  readonly net: string;
  readonly interactive: boolean;
  readonly hostname: string | undefined;
  readonly resolver: ResolverFiles;
  readonly ipc: string;
}

export interface StartInput {
  readonly manifest: PodManifest;
  readonly stage1: Stage1;
  readonly options: StartOptions;
}

/** Becomes the pod; comes back only by throwing. The caller moved the pod to pods/run. */
export async function startPod(engine: Engine, pod: PreparedPod, input: StartInput): Promise<never> {
  const files = new PodFiles(pod.dir);
  const { stage1, manifest, options } = input;
  mountTrees(engine, files, stage1, manifest);
  writeResolverFiles(files, options.resolver);
  const run = runArguments(engine, pod, options);
  writeRuntimeConfig(files, run);
  const env = { ...stage1Environment(), [STAGE1_ENV.lockFd]: String(pod.lockFd) };
  const argv = formatRunArguments(run, stage1.interfaceVersion);
  linux.chdir(pod.dir);
  if (stage1.builtin !== undefined) {
    const entrypoints = await loadEntrypoints(stage1.builtin);
    return entrypoints.run(argv, { host: linux, emit: engine.emit, env, podDir: pod.dir });
  }
  const path = join(files.stage1Rootfs, entrypointPath(stage1.tree, "run"));
  return handOver(linux, callerState(linux), { path, argv: [path, ...argv], env, keep: [pod.lockFd] });
}

/** Mounts stage1's overlay and, inside it, each app's; in the caller's mount namespace, as the contract has it. Without overlay all was copied before. */
function mountTrees(engine: Engine, files: PodFiles, stage1: Stage1, manifest: PodManifest): void {
  const overlay = existsSync(files.overlayPrepared);
  if (overlay) mountTree(engine, stage1.tree, files, undefined);
  for (const app of manifest.apps) {
    mkdirSync(files.appRootfs(app.name), { recursive: true, mode: 0o755 });
    if (overlay) mountTree(engine, podLayers(engine, files.appTreeId(app.name)), files, app.name);
    writeFileSync(files.appStage2Manifest(app.name), readFileSync(files.appImageManifest(app.name)), { mode: 0o644 });
  }
}

function mountTree(engine: Engine, tree: PodLayers, files: PodFiles, app: string | undefined): void {
  const { cwd, lowerdir } = overlayOptions(engine.dataDir, tree);
  mountOverlay(linux, {
    base: cwd,
    lower: lowerdir.split(":"),
    upper: files.overlayUpper(tree.treeId, app),
    work: files.overlayWork(tree.treeId, app),
    target: app === undefined ? files.stage1Rootfs : files.appRootfs(app),
  });
}

function writeResolverFiles(files: PodFiles, resolver: ResolverFiles): void {
  if (resolver.resolvConf === undefined && resolver.hosts === undefined) return;
  const etc = join(files.stage1Rootfs, "etc");
  mkdirSync(etc, { recursive: true, mode: 0o755 });
  if (resolver.resolvConf !== undefined)
    writeFileSync(join(etc, "rkt-resolv.conf"), resolver.resolvConf, { mode: 0o644 });
  if (resolver.hosts !== undefined) {
    const base = "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n";
    writeFileSync(join(etc, "rkt-hosts"), base + resolver.hosts, { mode: 0o644 });
  }
}

function runArguments(engine: Engine, pod: PreparedPod, options: StartOptions): RunArguments {
  return {
    uuid: pod.uuid,
    debug: engine.debug,
    net: options.net,
    interactive: options.interactive,
    privateUsers: undefined,
    mdsToken: undefined,
    localConfig: engine.localConfigDir,
    hostname: options.hostname,
    dnsMode: options.resolver.mode,
    disableCapabilitiesRestriction: engine.insecure.capabilities,
    disablePaths: engine.insecure.paths,
    disableSeccomp: engine.insecure.seccomp,
    mutable: false,
    ipc: options.ipc,
  };
}

/** rkt 1.x's file, for stage1s that read it instead of arguments. */
function writeRuntimeConfig(files: PodFiles, run: RunArguments): void {
  const config = {
    MetadataServiceURL: "",
    PrivateUsers: run.privateUsers ?? "",
    MDSToken: "",
    Hostname: run.hostname ?? "",
    Debug: run.debug,
    Mutable: run.mutable,
    ResolvConfMode: run.dnsMode?.resolv ?? "default",
    EtcHostsMode: run.dnsMode?.hosts ?? "default",
    NetList: run.net.split(","),
    Interactive: run.interactive,
    InsecureOptions: {
      DisablePaths: run.disablePaths,
      DisableCapabilities: run.disableCapabilitiesRestriction,
      DisableSeccomp: run.disableSeccomp,
    },
    IPCMode: run.ipc ?? "",
  };
  writeFileSync(files.runtimeConfig, JSON.stringify(config), { mode: 0o640 });
}
