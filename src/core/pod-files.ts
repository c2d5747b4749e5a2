/** Every path in a pod's directory is built here, and only here (docs/on-disk-format.md). */

import { join } from "node:path";

/** The files of one pod directory (rkt 1.x layout; `dir` is the pod's directory, wherever it is at the moment). */
export class PodFiles {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  get manifest(): string {
    return join(this.dir, "pod");
  }
  /** Its mtime is the pod's creation time. */
  get created(): string {
    return join(this.dir, "pod-created");
  }
  /** The version of the rkt that prepared the pod. A pod without this file is one of rkt 1.x. */
  get preparedBy(): string {
    return join(this.dir, "prepared-by");
  }
  /** The pod's name, when it was given one. */
  get name(): string {
    return join(this.dir, "name");
  }
  /** There: the pod is removed when it is over (`--rm`). */
  get removeAtEnd(): string {
    return join(this.dir, "remove-at-end");
  }
  /** What a detached pod, and rkt for it, wrote to standard output and error. */
  get console(): string {
    return join(this.dir, "console");
  }
  appInfo(app: string): string {
    return join(this.dir, "appsinfo", app);
  }
  appImageManifest(app: string): string {
    return join(this.appInfo(app), "manifest");
  }
  appTreeId(app: string): string {
    return join(this.appInfo(app), "treeStoreID");
  }
  /**
   * There while an app is being added to, or removed from, a running pod: left by a crash, the removal is finished by
   * the next command.
   */
  appUnfinished(app: string): string {
    return join(this.appInfo(app), "unfinished");
  }
  /** The tree of an app that was added to a running pod without overlay. */
  addedRootfs(app: string): string {
    return join(this.dir, "added", app, "rootfs");
  }
  get stage1(): string {
    return join(this.dir, "stage1");
  }
  get stage1Manifest(): string {
    return join(this.stage1, "manifest");
  }
  get stage1Rootfs(): string {
    return join(this.stage1, "rootfs");
  }
  get stage1TreeId(): string {
    return join(this.dir, "stage1TreeStoreID");
  }
  get overlayPrepared(): string {
    return join(this.dir, "overlay-prepared");
  }
  get privateUsersPrepared(): string {
    return join(this.dir, "private-users-prepared");
  }
  /** For the moment in which an overlay is mounted: its layers, with the pod's users as owners. */
  get mappedLayers(): string {
    return join(this.dir, "mapped-layers");
  }
  /** Upper directory of an overlay: bare for stage1, `/APP` below for an app. */
  overlayUpper(treeId: string, app?: string): string {
    return join(this.dir, "overlay", treeId, "upper", app ?? "");
  }
  overlayWork(treeId: string, app?: string): string {
    return join(this.dir, "overlay", treeId, "work", app ?? "");
  }
  get pid(): string {
    return join(this.dir, "pid");
  }
  get ppid(): string {
    return join(this.dir, "ppid");
  }
  get pgid(): string {
    return join(this.dir, "pgid");
  }
  get netns(): string {
    return join(this.dir, "netns");
  }
  get netInfo(): string {
    return join(this.dir, "net-info.json");
  }
  /** Copies of the network configurations in use, for the teardown. */
  get net(): string {
    return join(this.dir, "net");
  }
  get subcgroup(): string {
    return join(this.dir, "subcgroup");
  }
  /** The pod's SELinux label; only there where SELinux was enabled when it was started. */
  get selinux(): string {
    return join(this.dir, "selinux");
  }
  get isolation(): string {
    return join(this.dir, "isolation");
  }
  /** There: the pod, and every app added to it, was measured into the machine's TPM before it started. */
  get measured(): string {
    return join(this.dir, "measured");
  }
  get runtimeConfig(): string {
    return join(this.dir, "runtime-config");
  }
  /** What a stage1 remembers for apps that are added to the running pod. */
  get laterApps(): string {
    return join(this.dir, "later-apps");
  }
  get sharedVolumes(): string {
    return join(this.dir, "sharedVolumes");
  }
  appRootfs(app: string): string {
    return join(this.stage1Rootfs, "opt/stage2", app, "rootfs");
  }
  appStage2Manifest(app: string): string {
    return join(this.stage1Rootfs, "opt/stage2", app, "manifest");
  }
  get status(): string {
    return join(this.stage1Rootfs, "rkt/status");
  }
  get environment(): string {
    return join(this.stage1Rootfs, "rkt/env");
  }
}
