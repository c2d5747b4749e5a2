/**
 * The tree of an app that is added to a running pod, where the stage1 contract has it: at `stage1/rootfs/opt/stage2/APP/rootfs` of the pod's directory. In a mount
 * namespace of this process alone, with a file system of its own in place of the stage1's root: the pod's root may put links into the real one, and would decide
 * by them what is mounted where on the host.
 */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { AT_FDCWD, CLONE, linux, MS, O } from "../host/mod.ts";
import type { Pod } from "../pod/mod.ts";
import { overlayOptions } from "../render/mod.ts";
import type { PodLayers } from "./call-stage1.ts";
import { mountOverlay } from "./mount-overlay.ts";

/** Where this process is at home; give it to {@link returnHome}. */
export function leaveHome(): number {
  const home = openSync("/proc/self/ns/mnt", "r");
  const host = linux;
  host.unshare(CLONE.NEWNS);
  host.mount(null, "/", null, MS.REC | MS.SLAVE, null);
  return home;
}

export function returnHome(home: number): void {
  const host = linux;
  host.chdir("/");
  host.setns(home, CLONE.NEWNS);
  closeSync(home);
}

/** After {@link leaveHome}. `tree` undefined: the app's tree was copied. `context`: of its files, in a pod with a SELinux label. Gives the pod's directory as this namespace has it. Throws WRONG_STATE when the pod is gone. */
export function mountAddedTree(
  engine: Engine,
  pod: Pod,
  app: string,
  tree: PodLayers | undefined,
  context: string | undefined,
): string {
  const directory = linux.openat(AT_FDCWD, pod.dir, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  const [here, there] = [directory, pod.fd].map((fd) => linux.statat(fd, "", 0x1000));
  if (here?.ino !== there?.ino || here?.dev !== there?.dev)
    throw new RktError("WRONG_STATE", `pod ${quoted(pod.uuid)} isn't currently running`);
  // By its descriptor: should the pod be removed meanwhile, nothing makes its directory again.
  const path = `/proc/self/fd/${directory}`;
  const files = new PodFiles(path);
  linux.mount("tmpfs", files.stage1Rootfs, "tmpfs", MS.NOSUID | MS.NODEV, "mode=0755,size=64k");
  mkdirSync(files.appRootfs(app), { recursive: true, mode: 0o755 });
  if (tree === undefined) {
    linux.mount(files.addedRootfs(app), files.appRootfs(app), null, MS.BIND, null);
    return path;
  }
  const { cwd, lowerdir } = overlayOptions(engine.dataDir, tree);
  mountOverlay(linux, {
    base: cwd,
    lower: lowerdir.split(":"),
    upper: files.overlayUpper(tree.treeId, app),
    work: files.overlayWork(tree.treeId, app),
    target: files.appRootfs(app),
    context,
  });
  return path;
}
