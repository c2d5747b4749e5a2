/**
 * The file systems of each app, mounted in the pod's own mount namespace before its systemd starts: /dev, resolver files, volumes. systemd finds them in place.
 * Mounting them here rather than by unit settings keeps the start short, and lets a mistake be told in one line before anything runs.
 */

import { existsSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { AT, type Host, MOUNT_ATTR, MS, O, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../../src/host/mod.ts";
import { attach, makeTarget } from "../common/attach.ts";
import { openInRoot, openRoot } from "../common/in-root.ts";
import { makeReadOnly, type OpenVolume } from "../common/volumes.ts";
import { type DevOptions, fileSystem, mountDev } from "./dev.ts";
import type { ResolverBind } from "./resolver.ts";

export interface AppMounts {
  readonly name: string;
  readonly readOnlyRoot: boolean;
  readonly hasHosts: boolean;
  /** Parents before children. */
  readonly volumes: readonly AppVolume[];
  /** Directories of the image that stay writable under a read-only root: mount points without a volume. */
  readonly writable: readonly string[];
}

export interface AppVolume {
  readonly name: string;
  readonly open: OpenVolume;
  readonly target: string;
  readonly readOnly: boolean;
  /** A tmpfs that several apps share: whoever comes first mounts it. */
  readonly shared: boolean;
}

/** After the unshare. Throws INVALID_INPUT for a target that cannot be one. */
export function mountApps(
  host: Host,
  files: PodFiles,
  apps: readonly AppMounts[],
  resolver: readonly ResolverBind[],
  dev: DevOptions | undefined,
): void {
  const attached = new Map<string, number>();
  try {
    for (const app of apps) mountApp(host, files, app, { resolver, dev, attached });
  } finally {
    for (const fd of attached.values()) host.close(fd);
  }
}

export const SHARED_MEMORY = "/dev/shm";

export interface Shared {
  readonly resolver: readonly ResolverBind[];
  /** Undefined: devices and memory belong to another kernel (stage1/kvm), which mounts them itself; what they lie on is made. */
  readonly dev: DevOptions | undefined;
  /** Memory that apps share, where the first of them has it mounted: tmpfs volumes by name, and /dev/shm. */
  readonly attached: Map<string, number>;
}

function mountApp(host: Host, files: PodFiles, app: AppMounts, shared: Shared): void {
  const rootfs = files.appRootfs(app.name);
  // A mount of its own, so that read-only is this app's alone; an overlay is one already, a copied tree is not.
  if (!existsSync(files.overlayPrepared)) host.mount(rootfs, rootfs, null, MS.BIND, null);
  const stage1 = openRoot(host, files.stage1Rootfs);
  const root = openRoot(host, rootfs);
  try {
    furnishRoot(host, stage1, root, app, shared);
  } finally {
    host.close(root);
    host.close(stage1);
  }
}

/** As the pod's own /sys, without its cgroups. (sandbox.ts binds the pod's where it can.) In the pod's network namespace, whose devices it shows. */
function mountSys(host: Host, root: number, { volumes }: AppMounts): void {
  if (volumes.some(({ target }) => target === "/sys" || target.startsWith("/sys/"))) return;
  const attributes = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
  attach(host, root, {
    fd: fileSystem(host, "sysfs", {}, attributes),
    isDirectory: true,
    target: "/sys",
    what: "sysfs",
  });
}

/** What an app's root, a mount already, is given. `stage1`: the pod's own root; both are descriptors. */
export function furnishRoot(host: Host, stage1: number, root: number, app: AppMounts, shared: Shared): void {
  // What lies on a volume is made there, later.
  const own = app.volumes.filter(({ target }) => !app.volumes.some((other) => target.startsWith(`${other.target}/`)));
  for (const { name, target, open } of own)
    if (shared.dev === undefined || !target.startsWith("/dev/"))
      makeTarget(host, root, { target, isDirectory: open.isDirectory, what: volume(name) });
  const writable = app.writable.map((path) => ({ path, fd: cloneInRoot(host, root, path) }));
  if (shared.dev !== undefined) {
    const shm = shared.attached.get(SHARED_MEMORY);
    mountDev(host, root, shm === undefined ? undefined : clone(host, shm), shared.dev);
    if (shm === undefined) shared.attached.set(SHARED_MEMORY, openInRoot(host, root, SHARED_MEMORY, O.PATH));
    if (shared.dev.ids !== undefined) mountSys(host, root, app);
  }
  for (const bind of shared.resolver)
    if (bind.always || !app.hasHosts) bindResolver(host, stage1, root, bind, bind.readOnly || app.readOnlyRoot);
  if (app.readOnlyRoot) readOnly(host, root, 0);
  for (const { path, fd } of writable)
    attach(host, root, { fd, isDirectory: true, target: path, what: "a mount point" });
  const here = app.volumes.filter((one) => shared.dev !== undefined || !one.shared);
  for (const one of here) attachVolume(host, root, one, shared.attached);
}

function attachVolume(host: Host, root: number, one: AppVolume, attached: Map<string, number>): void {
  const { name, open, target } = one;
  const before = one.shared ? attached.get(name) : undefined;
  const fd = before === undefined ? open.fd : clone(host, before);
  if (one.readOnly && !one.shared) makeReadOnly(host, fd);
  attach(host, root, { fd, isDirectory: open.isDirectory, target, what: volume(name) });
  if (!one.shared) return;
  if (before === undefined) attached.set(name, openInRoot(host, root, target, O.PATH));
  // This app's mount only: another one of the same memory may be writable.
  if (one.readOnly) {
    const place = openInRoot(host, root, target, O.PATH);
    readOnly(host, place, AT.RECURSIVE);
    host.close(place);
  }
}

function bindResolver(host: Host, stage1: number, root: number, bind: ResolverBind, readOnly: boolean): void {
  const fd = cloneInRoot(host, stage1, bind.source, 0);
  if (readOnly) makeReadOnly(host, fd);
  attach(host, root, { fd, isDirectory: false, target: bind.target, what: "the pod's file" });
}

export function cloneInRoot(host: Host, root: number, path: string, flags: number = O.DIRECTORY): number {
  const place = openInRoot(host, root, path, O.PATH | flags);
  try {
    return clone(host, place);
  } finally {
    host.close(place);
  }
}

function clone(host: Host, fd: number): number {
  return host.openTree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT.EMPTY_PATH);
}

function readOnly(host: Host, fd: number, flags: number): void {
  host.mountSetAttr(fd, "", AT.EMPTY_PATH | flags, { set: MOUNT_ATTR.RDONLY, clear: 0, propagation: 0, usernsFd: 0 });
}

function volume(name: string): string {
  return `volume "${name}"`;
}
