/**
 * Directories of rendered layers: `cas/layer/ID/{rootfs/,manifest,rendered}`, root only. A layer is whole when it has its `rendered` mark, which is written after
 * the content has reached the disk; without it, the directory is what a render left that was killed, or is still at work. Whoever holds the lock
 * `cas/treestorelocks/ID` owns the name.
 */

import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { lockWithBackoff, tryLock } from "../host/lock.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { layerLink } from "./layer-id.ts";

/** A layer being filled. */
export interface NewLayer {
  readonly layerId: string;
  readonly dir: string;
  readonly rootfs: string;
  /** Mount point for the unpacker's root. */
  readonly jail: string;
}

/** What the mark says, beside that the layer is whole. */
export interface LayerMark {
  /** Bytes of file content. */
  readonly size: number;
  /** Digest of the tree (tree-digest.ts); undefined in the marks of earlier releases. */
  readonly digest: string | undefined;
}

const MANIFEST = "manifest";
const MARK = "rendered";
const LARGEST_MARK = 4096;

/**
 * Creates the directories for rendered content. Throws INVALID_INPUT when one of them is not root's alone: `cas` itself belongs to group rkt, and what lies
 * in these directories is run as root.
 */
export function prepareStore(dataDir: DataDir): void {
  for (const directory of [dataDir.layers, dataDir.layerLocks, dataDir.layerLinks, dataDir.trees]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const status = lstatSync(directory);
    if (!status.isDirectory() || status.uid !== process.geteuid?.() || (status.mode & 0o022) !== 0) {
      throw new RktError(
        "INVALID_INPUT",
        `Cannot use ${quoted(directory)}: expected a directory that only root can write`,
      );
    }
  }
}

/** True when the layer is there and whole. */
export function isRendered(dataDir: DataDir, layerId: string): boolean {
  return lstatSync(join(dataDir.layer(layerId), MARK), { throwIfNoEntry: false })?.isFile() === true;
}

/** The layer's mark, or undefined. */
export function layerMark(dataDir: DataDir, layerId: string): LayerMark | undefined {
  try {
    const text = readFileSync(join(dataDir.layer(layerId), MARK), "utf8");
    const mark: unknown = text.length > LARGEST_MARK ? undefined : JSON.parse(text);
    if (typeof mark !== "object" || mark === null || !("size" in mark) || typeof mark.size !== "number")
      return undefined;
    const digest = "digest" in mark && typeof mark.digest === "string" ? mark.digest : undefined;
    return { size: mark.size, digest };
  } catch {
    return undefined;
  }
}

/** The image manifest that came out of the layer's archive (appc), as text. Throws NOT_FOUND. */
export function layerManifest(dataDir: DataDir, layerId: string): string {
  try {
    return readFileSync(join(dataDir.layer(layerId), MANIFEST), "utf8");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read the manifest of layer ${layerId}`, { cause });
  }
}

/**
 * Takes the lock of a layer, waiting for whoever renders it; undefined when that would mean to wait and `wait` is false. The result gives it back. Locks of one
 * image are taken from the lowest layer up, by everybody, so two renders never wait for each other.
 */
export async function lockLayer(
  host: Host,
  dataDir: DataDir,
  layerId: string,
  wait: boolean,
): Promise<(() => void) | undefined> {
  const fd = openSync(join(dataDir.layerLocks, layerId), "a", 0o600);
  try {
    if (wait) await lockWithBackoff(host, fd, "exclusive", { what: `layer ${layerId}` });
    else if (!tryLock(host, fd, "exclusive")) {
      closeSync(fd);
      return undefined;
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return () => closeSync(fd);
}

/** Starts afresh: what a killed render left is removed. Under the layer's lock. */
export function startLayer(host: Host, dataDir: DataDir, layerId: string): NewLayer {
  discardLayer(host, dataDir, layerId);
  const dir = dataDir.layer(layerId);
  mkdirSync(dir, { mode: 0o700 });
  const [rootfs, jail] = [join(dir, "rootfs"), join(dir, "jail")];
  mkdirSync(rootfs, { mode: 0o755 });
  mkdirSync(jail, { mode: 0o700 });
  return { layerId, dir, rootfs, jail };
}

/** Keeps the manifest that came out of the archive. Under the lock. */
export function keepManifest(layer: NewLayer, manifest: Buffer | undefined): void {
  if (manifest !== undefined) writeFileSync(join(layer.dir, MANIFEST), manifest, { mode: 0o600, flag: "wx" });
}

/**
 * Makes filled layers, whose unpackers are gone, permanent: all of their content reaches the disk, then come the marks. A mark that a crash takes away again costs another
 * render and nothing else, so it is not synced itself. Under the locks of all.
 */
export function markLayers(
  host: Host,
  dataDir: DataDir,
  layers: readonly { layer: NewLayer; mark: LayerMark }[],
): void {
  if (layers.length === 0) return;
  const fd = openSync(dataDir.layers, "r");
  try {
    host.syncfs(fd);
  } finally {
    closeSync(fd);
  }
  for (const { layer, mark } of layers) {
    rmdirSync(layer.jail);
    linkLayer(dataDir, layer.layerId);
    writeFileSync(join(layer.dir, MARK), `${JSON.stringify(mark)}\n`, { mode: 0o600, flag: "wx" });
  }
}

/** Removes a layer. The mark goes first: from then on nobody takes the rest for a layer. Under the layer's lock. */
export function discardLayer(host: Host, dataDir: DataDir, layerId: string): void {
  const parent = host.openat(AT_FDCWD, dataDir.layers, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    try {
      host.unlinkat(parent, `${layerId}/${MARK}`, 0);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
    removeTree(host, parent, layerId);
  } finally {
    host.close(parent);
  }
}

function linkLayer(dataDir: DataDir, layerId: string): void {
  try {
    symlinkSync(`../layer/${layerId}/rootfs`, join(dataDir.layerLinks, layerLink(layerId)));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
