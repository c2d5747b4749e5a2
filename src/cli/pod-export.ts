/** An app of an ended pod as an ACI: its image's files with what the app changed. */

import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PodFiles } from "../core/data-dir.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { tryLock } from "../host/lock.ts";
import { AT_FDCWD, linux, O } from "../host/mod.ts";
import { mountsBelow, readMountInfo } from "../host/mount-info.ts";
import { removeTree } from "../host/remove-tree.ts";
import { type Pod, readIdRange } from "../pod/mod.ts";
import { overlayOptions } from "../render/mod.ts";
import { formatImageManifest, parseImageManifest } from "../spec/appc/mod.ts";
import { podLayers } from "../stage0/call-stage1.ts";
import { isRkt1Pod, rkt1Rootfs } from "../stage0/rkt-1-pod.ts";
import { run, writeWhole } from "./export-file.ts";

/**
 * Writes the gzip-compressed ACI to `output`. Root only. The caller holds a lock on the pod, which has ended. Throws CONFLICT for a pod without overlay in which
 * something is still mounted, NOT_FOUND when the layers are gone, HOST_PROGRAM, SYSTEM_CALL.
 */
export async function exportApp(engine: Engine, pod: Pod, app: string, output: string): Promise<void> {
  const ids = readIdRange(pod.dir);
  refuseMounted(pod, app);
  const name = `rkt-export-${pod.uuid}-${randomBytes(4).toString("hex")}`;
  const directory = join(engine.dataDir.tmp, name);
  mkdirSync(join(directory, "rootfs"), { recursive: true, mode: 0o700 });
  // Its lock says that somebody works here: `image gc` removes the directory of an export that was killed.
  const working = openSync(directory, "r");
  tryLock(linux, working, "exclusive");
  try {
    writeFileSync(join(directory, "manifest"), manifestOf(pod, app), { mode: 0o644 });
    const pack = (file: number, changed: string, owners = "") =>
      run([...PACK, directory, owners, ...rootMount(engine, pod, app, changed)], "ignore", file, false);
    const changed = changedFiles(pod, app);
    await writeWhole(output, async (file) => {
      if (ids === undefined) return pack(file, changed);
      const { withPodOwners } = await import("./export-owners.ts");
      return withPodOwners(ids, directory, changed, (place, owners) => pack(file, place, owners));
    });
  } finally {
    remove(engine.dataDir.tmp, name);
    closeSync(working);
  }
}

/**
 * Mounts the app's root on ./rootfs in a mount namespace of its own, so that nothing is left mounted whatever happens, and packs. `$2`: a file of owners to
 * translate, or nothing; `$3`: where to mount from, `$4…`: mount's words. LIBMOUNT_FORCE_MOUNT2: the newer way to mount takes no option of more than 255 bytes.
 */
const PACK = [
  ...["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL", "sh", "-euc"],
  `directory=$1 owners=$2 from=$3
  shift 3
  cd "$from"
  LIBMOUNT_FORCE_MOUNT2=always mount "$@" "$directory/rootfs"
  exec tar --create --gzip --format=posix --sort=name --numeric-owner --xattrs '--xattrs-include=*' --sparse \${owners:+--owner-map="$owners" --group-map="$owners"} --directory "$directory" manifest rootfs`,
  "export",
];

/** Throws CONFLICT for a copied tree in which something is still mounted. */
function refuseMounted(pod: Pod, app: string): void {
  const files = new PodFiles(pod.dir);
  if (existsSync(files.overlayPrepared) || mountsBelow(files.appRootfs(app), readMountInfo()).length === 0) return;
  throw new RktError(
    "CONFLICT",
    "pod has remaining mountpoints. Only pods using overlayfs or with no mountpoints can be exported",
  );
}

/** The directory that holds what the pod itself wrote: an overlay's upper one, or the copied tree. */
function changedFiles(pod: Pod, app: string): string {
  const files = new PodFiles(pod.dir);
  if (!existsSync(files.overlayPrepared)) return files.appRootfs(app);
  return files.overlayUpper(readFileSync(files.appTreeId(app), "utf8").trim(), app);
}

/** The words of mount(8) that give the app's root, and before them the directory in which they hold. `changed`: where {@link changedFiles} is mounted. */
function rootMount(engine: Engine, pod: Pod, app: string, changed: string): string[] {
  const files = new PodFiles(pod.dir);
  if (!existsSync(files.overlayPrepared)) return ["/", "--bind", changed];
  if (isRkt1Pod(engine.dataDir, pod.dir)) {
    // Its marks of what was removed are in trusted.*, and its trees are whole.
    const rootfs = rkt1Rootfs(engine.dataDir, files.appTreeId(app));
    return ["/", "-t", "overlay", "-o", `lowerdir=${changed}:${rootfs},ro`, "overlay"];
  }
  const { cwd, lowerdir } = overlayOptions(engine.dataDir, podLayers(engine, files.appTreeId(app)));
  // Everything as lower directories: nothing is written, and an overlay that the pod left mounted does not matter.
  return [cwd, "-t", "overlay", "-o", `lowerdir=${changed}:${lowerdir},userxattr,ro`, "overlay"];
}

/** The image's manifest. What it depended on is in the archive now. */
function manifestOf(pod: Pod, app: string): string {
  const manifest = parseImageManifest(readFileSync(new PodFiles(pod.dir).appImageManifest(app), "utf8"));
  return formatImageManifest({ ...manifest, dependencies: [], pathWhitelist: [] });
}

function remove(parent: string, name: string): void {
  const fd = linux.openat(AT_FDCWD, parent, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(linux, fd, name);
  } finally {
    linux.close(fd);
  }
}
