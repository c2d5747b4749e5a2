/** `rkt app add` and `rm`, `start`, `stop`: what changes in a running pod, in an order in which a crash at any moment leaves what the next command can undo. */

import { closeSync, existsSync, mkdirSync } from "node:fs";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { RenderedTree } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { selinuxEnabled } from "../host/selinux.ts";
import { takePrepareLock } from "../pod/prepare-lock.ts";
import { readPodLabel } from "../pod/selinux-label.ts";
import { assertRunnable, type PodManifest, parseImageManifest } from "../spec/appc/mod.ts";
import type { RequestedImage } from "./assemble-pod.ts";
import { crossingEnvironment, loadCall, podLayers } from "./call-stage1.ts";
import { checkVolumeSources } from "./check-volumes.ts";
import { leaveHome, mountAddedTree, returnHome } from "./mount-added-app.ts";
import {
  changingPod,
  crossInto,
  filesOf,
  type MutablePod,
  replaceManifest,
  takeOut,
  withMutablePod,
} from "./mutable-pod.ts";
import { obtainImage } from "./obtain-image.ts";
import { withApp } from "./pod-manifest.ts";
import { writeNew } from "./prepare.ts";
import { renderStored } from "./render-stored.ts";
import { isRkt1Pod } from "./rkt-1-pod.ts";

const notReadyToAdd = (uuid: string) => `supervisor for pod ${quoted(uuid)} is not yet ready`;
const notReady = (uuid: string) => `pod ${quoted(uuid)} is running but its supervisor is not ready yet`;

/** Adds an app; it is not started. Throws NOT_FOUND for an image that is not in the store, CONFLICT for a name that is taken, and what the stage1 refuses. */
export async function addApp(engine: Engine, podText: string, image: RequestedImage): Promise<void> {
  const { reference, signature, options } = image;
  const stored = await obtainImage(engine, reference, { pullPolicy: "never", signature });
  // Until the tree is named in the pod's directory, no collector may take it.
  const lock = await takePrepareLock(engine.dataDir, linux, "shared");
  try {
    const tree = await renderStored(engine, stored);
    const imageManifest = parseImageManifest(tree.manifest);
    assertRunnable(imageManifest.labels);
    await changingPod(engine, podText, notReadyToAdd, async (mutable) => {
      if (isRkt1Pod(engine.dataDir, mutable.dir)) {
        const { uuid } = mutable.pod;
        throw new RktError("UNSUPPORTED", `Cannot add an app to pod ${quoted(uuid)}: rkt 1.x has prepared it`);
      }
      const changed = withApp(mutable.manifest, { imageId: stored.id, imageManifest, options });
      checkVolumeSources({ ...changed.manifest, apps: [changed.app] });
      const { measureAddedApp } = await import("./measure-pod.ts");
      const { manifest, app } = changed;
      await measureAddedApp(engine, filesOf(mutable), { uuid: mutable.pod.uuid, manifest, app, treeId: tree.treeId });
      await putIn(engine, mutable, changed.app.name, changed.manifest, tree);
    });
  } finally {
    closeSync(lock);
  }
}

async function putIn(
  engine: Engine,
  mutable: MutablePod,
  app: string,
  manifest: PodManifest,
  tree: RenderedTree,
): Promise<void> {
  const files = filesOf(mutable);
  writeNew(files.appUnfinished(app), "", 0o600);
  try {
    writeNew(files.appTreeId(app), tree.treeId, 0o640);
    writeNew(files.appImageManifest(app), tree.manifest, 0o640);
    const overlay = existsSync(files.overlayPrepared);
    if (!overlay) await copyIn(engine, mutable, app, tree);
    replaceManifest(mutable, manifest);
    const layers = overlay ? podLayers(engine, files.appTreeId(app)) : undefined;
    const status = await addFromInside(engine, mutable, app, layers);
    if (status !== 0) throw new RktError("STAGE1", `error adding app ${quoted(app)}: exit status ${status}`);
    linux.unlinkat(mutable.pod.fd, `appsinfo/${app}/unfinished`, 0);
  } catch (error) {
    // Whatever this cannot do, the next command on the pod does: the mark stays.
    await takeOut(engine, mutable, app).catch(() => undefined);
    throw error;
  }
}

async function copyIn(engine: Engine, mutable: MutablePod, app: string, tree: RenderedTree): Promise<void> {
  const { copyTree } = await import("../render/mod.ts");
  const target = filesOf(mutable).addedRootfs(app);
  mkdirSync(target, { recursive: true, mode: 0o755 });
  copyTree(linux, engine.dataDir, tree, target);
  const context = podFileContext(mutable.pod.dir);
  if (context !== undefined) (await import("../host/relabel-tree.ts")).relabelTree(linux, target, context);
}

/** Of a pod that was started with SELinux enabled. */
function podFileContext(dir: string): string | undefined {
  return selinuxEnabled() ? readPodLabel(dir)?.file : undefined;
}

/** The stage1's part, with the app's tree mounted where it expects it. Everything is loaded before, and its work is done when it gives its promise. */
async function addFromInside(
  engine: Engine,
  mutable: MutablePod,
  app: string,
  layers: ReturnType<typeof podLayers> | undefined,
): Promise<number> {
  const { pod, pid } = mutable;
  const call = await loadCall(engine, pod.dir, "appAdd");
  const env = crossingEnvironment(engine, pod.dir, pid);
  const argv = [`--debug=${engine.debug}`, `--uuid=${pod.uuid}`, `--app=${app}`];
  const context = podFileContext(pod.dir);
  if (context !== undefined && layers !== undefined)
    (await import("./label-pod.ts")).labelLayers(
      layers.layers.map(({ layerId }) => engine.dataDir.layerRootfs(layerId)),
    );
  const home = leaveHome();
  let status: Promise<number>;
  try {
    status = call(argv, mountAddedTree(engine, pod, app, layers, context), env);
  } finally {
    returnHome(home);
  }
  return status;
}

/** Ends an app and removes it. Throws NOT_FOUND `error: nonexistent app "x"`. */
export function removeApp(engine: Engine, podText: string, app: string): Promise<void> {
  return changingPod(engine, podText, notReady, async (mutable) => {
    requireApp(mutable, app);
    writeNew(filesOf(mutable).appUnfinished(app), "", 0o600);
    await takeOut(engine, mutable, app);
  });
}

/** Starts an app, for the first time or again; one that runs goes on. Throws STAGE1 when its program cannot be started. */
export async function startApp(engine: Engine, podText: string, app: string): Promise<void> {
  // What a killed add has left must not be started; the start itself may take as long as the app's pre-start handlers, and keeps nobody out.
  await changingPod(engine, podText, notReady, async (mutable) => requireApp(mutable, app));
  await withMutablePod(engine, podText, notReady, async (mutable) => {
    const status = await crossInto(engine, mutable, "appStart", [`--app=${app}`]);
    if (status !== 0) {
      throw new RktError("STAGE1", `error starting app ${quoted(app)}: exit status ${status}`, {
        hint: "`rkt app status` tells its exit status; 203: its program cannot be executed",
      });
    }
  });
}

/** What systemctl(1) says of a unit that is not loaded: an app that never ran. */
const NOT_LOADED = 5;

/** Stops an app, and waits for its end; one that does not run is no error. */
export async function stopApp(engine: Engine, podText: string, app: string): Promise<void> {
  await withMutablePod(engine, podText, notReady, async (mutable) => {
    requireApp(mutable, app);
    const status = await crossInto(engine, mutable, "appStop", [`--app=${app}`]);
    if (status !== 0 && status !== NOT_LOADED)
      throw new RktError("STAGE1", `error stopping app ${quoted(app)}: exit status ${status}`);
  });
}

function requireApp({ manifest }: MutablePod, app: string): void {
  if (!manifest.apps.some(({ name }) => name === app))
    throw new RktError("NOT_FOUND", `error: nonexistent app ${quoted(app)}`);
}
