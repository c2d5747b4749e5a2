/**
 * Step 6: PreparedPod → RunningPod. This process mounts the pod's file systems and becomes its supervisor: run() below is the list of what happens, in order.
 * The pod is under pods/run and locked by this process; from here on a crash leaves a pod that `list` calls exited and `gc` removes.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig, measurementSettings } from "../config/mod.ts";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { formatIdRange, type IdRange } from "../core/id-range.ts";
import type { PreparedPod } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { asFileOwner, callerState, handOver, linux } from "../host/mod.ts";
import { selinuxEnabled } from "../host/selinux.ts";
import { openUserNamespace } from "../host/user-namespace.ts";
import { movePod, readIdRange, registerPod } from "../pod/mod.ts";
import { overlayOptions } from "../render/mod.ts";
import type { PodManifest } from "../spec/appc/mod.ts";
import {
  formatRunArguments,
  type IsolationName,
  LOCAL_HOSTS,
  labelEnvironment,
  type PodLabel,
  type RunArguments,
  STAGE1_ENV,
} from "../stage1-contract/mod.ts";
import { loadEntrypoints } from "./builtin-stage1.ts";
import { entrypointPath, type PodLayers, podLayers, stage1Environment } from "./call-stage1.ts";
import { mountOverlay } from "./mount-overlay.ts";
import { isMutable } from "./pod-manifest.ts";
import type { ResolverFiles } from "./resolver-files.ts";
import type { Stage1 } from "./stage1-image.ts";

export interface StartOptions {
  readonly net: string;
  readonly interactive: boolean;
  readonly hostname: string | undefined;
  readonly resolver: ResolverFiles;
  readonly ipc: string;
  /** `--require`. */
  readonly require?: readonly IsolationName[];
  /** With the metadata service. */
  readonly registers?: boolean;
  /** The words of `rkt … rm UUID`: run when the pod is over. */
  readonly removal?: readonly string[] | undefined;
}

export interface StartInput {
  readonly manifest: PodManifest;
  readonly stage1: Stage1;
  readonly options: StartOptions;
}

/** A pod under pods/run, measured by the policy. Made by {@link enterRun} only. */
export type EnteredPod = PreparedPod & { readonly entered: unique symbol };

/** Measures the pod where that is asked for, and moves it to pods/run. Throws, the pod being where it was, when it has to be measured and cannot be. */
export async function enterRun(engine: Engine, pod: PreparedPod, input: StartInput): Promise<EnteredPod> {
  const { manifest, stage1, options } = input;
  const settings = measurementSettings(loadConfig(engine));
  const isRequired = options.require?.includes("measured") === true;
  if (settings.policy !== "off" || isRequired) {
    const { measurePod } = await import("./measure-pod.ts");
    const argv = formatRunArguments(runArguments(engine, pod, input), stage1.interfaceVersion);
    const { uuid, dir } = pod;
    const policy = isRequired ? "required" : settings.policy;
    await measurePod(engine, { ...settings, policy }, { uuid, dir, manifest, stage1: stage1.tree, argv });
  }
  return movePod(engine.dataDir, linux, pod, "run") as EnteredPod;
}

/** Becomes the pod; comes back only by throwing. */
export async function startPod(engine: Engine, pod: EnteredPod, input: StartInput): Promise<never> {
  const files = new PodFiles(pod.dir);
  const { stage1, manifest, options } = input;
  const ids = readIdRange(pod.dir);
  const label = selinuxEnabled() ? await giveLabel(engine, files, input) : undefined;
  await mountTrees(engine, files, { stage1, manifest, ids, context: label?.file });
  asFileOwner(linux, ids, () => writeResolverFiles(files, options.resolver));
  const apps = manifest.apps.map(({ name }) => name);
  const mdsToken = options.registers === true ? await registerPod(pod.dir, pod.uuid, apps) : undefined;
  const run = { ...runArguments(engine, pod, input), mdsToken };
  writeRuntimeConfig(files, run);
  const env = { ...stage1Environment(), ...labelEnvironment(label), [STAGE1_ENV.lockFd]: String(pod.lockFd) };
  const argv = formatRunArguments(run, stage1.interfaceVersion);
  // Not left out in silence: whoever asks for an IPC namespace gets it, or no pod.
  if (stage1.interfaceVersion < 6 && ["private", "parent"].includes(options.ipc))
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use --ipc=${options.ipc}: the stage1 ${quoted(stage1.manifest.name)} does not know --ipc (interface version ${stage1.interfaceVersion}, expected 6 or later)`,
    );
  if (options.removal !== undefined) (await import("./remove-at-end.ts")).removeAtEnd(files, options.removal);
  linux.chdir(pod.dir);
  if (stage1.builtin !== undefined) {
    const entrypoints = await loadEntrypoints(stage1.builtin);
    return entrypoints.run(argv, { host: linux, emit: engine.emit, env, podDir: pod.dir });
  }
  const path = join(files.stage1Rootfs, entrypointPath(stage1.tree.manifest, "run"));
  return handOver(linux, callerState(linux), { path, argv: [path, ...argv], env, keep: [pod.lockFd] });
}

interface Trees {
  readonly stage1: Stage1;
  readonly manifest: PodManifest;
  readonly ids: IdRange | undefined;
  /** SELinux context of their files. */
  readonly context: string | undefined;
}

/** With SELinux: a label of the pod's own, for its volumes where they ask for it, and for its trees where they are copies (a mounted one has it as an option). */
async function giveLabel(
  engine: Engine,
  files: PodFiles,
  { manifest, stage1 }: StartInput,
): Promise<PodLabel | undefined> {
  const { labelLayers, labelPod, relabelVolumes } = await import("./label-pod.ts");
  const label = await labelPod(engine, files.dir, stage1.manifest);
  if (label === undefined) return undefined;
  relabelVolumes(manifest, label);
  if (!existsSync(files.overlayPrepared)) {
    (await import("../host/relabel-tree.ts")).relabelTree(linux, files.stage1Rootfs, label.file);
    return label;
  }
  const trees = [stage1.tree, ...manifest.apps.map(({ name }) => podLayers(engine, files.appTreeId(name)))];
  labelLayers(trees.flatMap(({ layers }) => layers.map(({ layerId }) => engine.dataDir.layerRootfs(layerId))));
  return label;
}

/** Mounts stage1's overlay and, inside it, each app's; in the caller's mount namespace, as the contract has it. Without overlay all was copied before. */
async function mountTrees(engine: Engine, files: PodFiles, trees: Trees): Promise<void> {
  const { ids, context } = trees;
  if (!existsSync(files.overlayPrepared)) fillTrees(engine, files, trees, undefined);
  else if (ids === undefined)
    fillTrees(engine, files, trees, (tree, app) => mountTree(engine, tree, files, app, context));
  else {
    const map = { from: 0, to: ids.shift, count: ids.count };
    const { withMappedLayers } = await import("./map-layers.ts");
    const mountMapped = (tree: PodLayers, app: string | undefined, userns: number) => {
      const layers = tree.layers.map(({ layerId }) => engine.dataDir.layerRootfs(layerId));
      withMappedLayers(linux, files.mappedLayers, layers, userns, (lower) =>
        mountOverlay(linux, { base: files.mappedLayers, lower, context, ...podPlaces(files, tree, app) }),
      );
      linux.chdir(files.dir); // Out of a directory that is gone.
    };
    const userns = await openUserNamespace(map);
    fillTrees(engine, files, trees, (tree, app) => mountMapped(tree, app, userns));
  }
}

type MountTree = (tree: PodLayers, app: string | undefined) => void;

function fillTrees(
  engine: Engine,
  files: PodFiles,
  { stage1, manifest, ids }: Trees,
  mount: MountTree | undefined,
): void {
  mount?.(stage1.tree, undefined);
  for (const { name } of manifest.apps) {
    asFileOwner(linux, ids, () => mkdirSync(files.appRootfs(name), { recursive: true, mode: 0o755 }));
    mount?.(podLayers(engine, files.appTreeId(name)), name);
    const text = readFileSync(files.appImageManifest(name));
    asFileOwner(linux, ids, () => writeFileSync(files.appStage2Manifest(name), text, { mode: 0o644 }));
  }
}

/** Where the overlay of stage1, or of an app, writes and is mounted. */
function podPlaces(files: PodFiles, { treeId }: PodLayers, app: string | undefined) {
  return {
    upper: files.overlayUpper(treeId, app),
    work: files.overlayWork(treeId, app),
    target: app === undefined ? files.stage1Rootfs : files.appRootfs(app),
  };
}

function mountTree(
  engine: Engine,
  tree: PodLayers,
  files: PodFiles,
  app: string | undefined,
  context: string | undefined,
): void {
  const { cwd, lowerdir } = overlayOptions(engine.dataDir, tree);
  mountOverlay(linux, { base: cwd, lower: lowerdir.split(":"), context, ...podPlaces(files, tree, app) });
}

function writeResolverFiles(files: PodFiles, resolver: ResolverFiles): void {
  if (resolver.resolvConf === undefined && resolver.hosts === undefined) return;
  const etc = join(files.stage1Rootfs, "etc");
  mkdirSync(etc, { recursive: true, mode: 0o755 });
  if (resolver.resolvConf !== undefined)
    writeFileSync(join(etc, "rkt-resolv.conf"), resolver.resolvConf, { mode: 0o644 });
  if (resolver.hosts !== undefined)
    writeFileSync(join(etc, "rkt-hosts"), LOCAL_HOSTS + resolver.hosts, { mode: 0o644 });
}

function runArguments(engine: Engine, pod: PreparedPod, { options, manifest }: StartInput): RunArguments {
  const ids = readIdRange(pod.dir);
  return {
    uuid: pod.uuid,
    debug: engine.debug,
    net: options.net,
    interactive: options.interactive,
    privateUsers: ids === undefined ? undefined : formatIdRange(ids),
    mdsToken: undefined,
    localConfig: engine.localConfigDir,
    hostname: options.hostname,
    dnsMode: options.resolver.mode,
    disableCapabilitiesRestriction: engine.insecure.capabilities,
    disablePaths: engine.insecure.paths,
    disableSeccomp: engine.insecure.seccomp,
    mutable: isMutable(manifest),
    ipc: options.ipc,
  };
}

/** rkt 1.x's file, for stage1s that read it instead of arguments. */
function writeRuntimeConfig(files: PodFiles, run: RunArguments): void {
  const config = {
    MetadataServiceURL: "",
    PrivateUsers: run.privateUsers ?? "",
    MDSToken: run.mdsToken ?? "",
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
