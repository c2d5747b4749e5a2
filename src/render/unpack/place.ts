/**
 * Placing the entries of one archive in a layer's directory, in sight of the layers below: what an extraction through
 * an overlay would leave in its upper directory, without one (so it works where the data directory itself lies on an
 * overlay). The last entry of a name wins, as for every other unpacker.
 *
 * The layer's directory belongs to this process alone while it is filled, so a component that was looked up stays what
 * it was.
 */

import { RktError } from "../../core/errors.ts";
import { AT, type FileStatus, isDirectory, isErrno, O, S } from "../../host/mod.ts";
import { removeTree } from "../../host/remove-tree.ts";
import { setAttributes, setAttributesAt } from "../attributes.ts";
import { type ByteString, shown, toBytes } from "../tar/bytes.ts";
import type { TarEntry } from "../tar/entry.ts";
import { copyUp } from "./copy-up.ts";
import { type DeviceList, forgetDevices, noteDevice, noteDeviceLink } from "./devices.ts";
import {
  type Directory,
  type Found,
  look,
  makeDirectory,
  makeOpaque,
  materialise,
  openDirectory,
  pathOf,
  replaceWhiteout,
  type Walk,
  walkTo,
} from "./walk.ts";
import { applyWhiteout, isWhiteoutName } from "./whiteout.ts";

/** How names of the archive become names in the layer. */
export interface Naming {
  /** OCI layers have whiteouts; in an ACI ".wh." is a name like any other. */
  readonly whiteouts: boolean;
  /** Components of an entry's (or hard link target's) path in the layer; undefined for what is no part of it. */
  place(components: readonly ByteString[], entry: TarEntry): readonly ByteString[] | undefined;
  /** Takes an entry that is no part of the layer; what it returns gets the data. */
  elsewhere(components: readonly ByteString[], entry: TarEntry): ((bytes: Buffer) => void) | undefined;
}

/**
 * Components of a name. ".." is refused: no honest writer makes one, and unpackers that took it wrote outside their
 * directory. A leading slash means the layer's root (some builders write absolute names).
 */
export function splitName(name: ByteString, entry: TarEntry): ByteString[] {
  const components = name.split("/").filter((component) => component !== "" && component !== ".");
  if (components.includes("..")) {
    throw new RktError("MALICIOUS", `Cannot unpack entry ${shown(entry.name)}: ${shown(name)} leads out of the image`);
  }
  return components;
}

/** Places one entry; the result is the open file that takes its data, or -1. */
export function placeEntry(
  walk: Walk,
  naming: Naming,
  devices: DeviceList,
  entry: TarEntry,
  components: readonly ByteString[],
): number {
  const name = components.at(-1);
  if (name === undefined) {
    placeRoot(walk, entry);
    return -1;
  }
  if (naming.whiteouts && isWhiteoutName(name)) {
    // Where there is no such directory, there is nothing to hide.
    if (walkTo(walk, components.slice(0, -1), undefined)) applyWhiteout(walk, name, entry);
    return -1;
  }
  const parentName = entry.name.slice(0, entry.name.length - name.length);
  const cached = walk.parentName === parentName && entry.name.endsWith(name) && entry.type !== "hardlink";
  if (!cached) walkToParent(walk, components, entry);
  if (entry.type === "hardlink") {
    placeHardLink(walk, naming, devices, entry, components, name);
    return -1;
  }
  walk.parentName = parentName;
  const parent = materialise(walk);
  if (entry.type === "directory") {
    placeDirectory(walk, devices, parent, name, entry);
    return -1;
  }
  parent.changed = true;
  nowPlaced(walk, name);
  return placeFileLike(walk, devices, parent, name, entry);
}

function walkToParent(walk: Walk, components: readonly ByteString[], entry: TarEntry): void {
  walkTo(walk, components.slice(0, -1), entry.mtime);
}

function placeRoot(walk: Walk, entry: TarEntry): void {
  if (entry.type !== "directory") {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot unpack entry ${shown(entry.name)}: the image's root must be a directory`,
    );
  }
  walkTo(walk, [], entry.mtime);
  const [root] = walk.chain;
  walk.rootPlaced = true;
  setAttributes(walk.host, root.fd, entry);
  root.mtime = entry.mtime;
}

/** An entry of this layer: from now on no whiteout of it removes the name. */
function nowPlaced(walk: Walk, name: ByteString): void {
  if (walk.implicit.size > 0) walk.implicit.delete(pathOf(walk, name));
}

function placeDirectory(walk: Walk, devices: DeviceList, parent: Directory, name: ByteString, entry: TarEntry): void {
  const found = look(walk, name);
  nowPlaced(walk, name);
  const fd = directoryFor(walk, devices, parent, name, found);
  try {
    setAttributes(walk.host, fd, entry);
  } finally {
    walk.host.close(fd);
  }
}

function directoryFor(walk: Walk, devices: DeviceList, parent: Directory, name: ByteString, found: Found): number {
  if (found.upper !== undefined && isDirectory(found.upper)) return openDirectory(walk.host, parent.fd, name);
  if (found.hidden) return replaceWhiteout(walk, parent, name, found.below().length > 0);
  if (found.upper === undefined) return makeDirectory(walk.host, parent, name);
  // An earlier entry had replaced what is below; a directory in its place must not bring that back.
  clear(walk, devices, parent, name, found.upper);
  const fd = makeDirectory(walk.host, parent, name);
  if (found.below().length > 0) makeOpaque(walk.host, fd);
  return fd;
}

/** Creates optimistically: in a well-formed archive nothing is there yet. */
function placeFileLike(walk: Walk, devices: DeviceList, parent: Directory, name: ByteString, entry: TarEntry): number {
  try {
    return create(walk, devices, parent, name, entry);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  const status = walk.host.statat(parent.fd, toBytes(name), AT.SYMLINK_NOFOLLOW);
  clear(walk, devices, parent, name, status);
  return create(walk, devices, parent, name, entry);
}

function create(walk: Walk, devices: DeviceList, parent: Directory, name: ByteString, entry: TarEntry): number {
  const { host } = walk;
  const bytes = toBytes(name);
  switch (entry.type) {
    case "file":
      // The mode at once (the umask is 0): nobody but root comes as far as this directory while it is filled.
      return host.openat(parent.fd, bytes, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, entry.mode & 0o777);
    case "symlink":
      host.symlinkat(toBytes(entry.link), parent.fd, bytes);
      setAttributesAt(host, parent.fd, bytes, entry);
      return -1;
    case "fifo":
      host.mknodat(parent.fd, bytes, S.IFIFO | entry.mode, { major: 0, minor: 0 });
      setAttributesAt(host, parent.fd, bytes, entry);
      return -1;
    case "char":
    case "block":
      // An empty file keeps the place; root puts the node there once this process, which may not make one, has ended.
      host.close(host.openat(parent.fd, bytes, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0));
      noteDevice(devices, walk, pathOf(walk, name), { ...entry, type: entry.type });
      return -1;
  }
  return -1;
}

function placeHardLink(
  walk: Walk,
  naming: Naming,
  devices: DeviceList,
  entry: TarEntry,
  components: readonly ByteString[],
  name: ByteString,
): void {
  const { host } = walk;
  const target = naming.place(splitName(entry.link, entry), entry);
  const targetName = target?.at(-1);
  if (target === undefined || targetName === undefined) throw noLinkTarget(entry, "is no file of the image");
  if (!walkTo(walk, target.slice(0, -1), undefined)) throw noLinkTarget(entry, "does not exist");
  const found = look(walk, targetName);
  const lower = found.lower();
  const status = found.upper ?? lower?.status;
  if (status === undefined) throw noLinkTarget(entry, "does not exist");
  if (isDirectory(status)) throw noLinkTarget(entry, "is a directory");
  const from = materialise(walk);
  const targetPath = pathOf(walk, targetName);
  if (lower !== undefined) copyUp(walk, devices, targetName, lower);
  // A second descriptor: the walk to the new name closes the first.
  const fromFd = openDirectory(host, from.fd, ".");
  try {
    walkToParent(walk, components, entry);
    const parent = materialise(walk);
    const path = pathOf(walk, name);
    if (path === targetPath) return;
    if (targetPath.startsWith(`${path}/`)) throw noLinkTarget(entry, "lies below the new name");
    parent.changed = true;
    nowPlaced(walk, name);
    link(walk, devices, fromFd, targetName, parent, name);
    noteDeviceLink(devices, walk, targetPath, path);
  } finally {
    host.close(fromFd);
  }
}

function link(
  walk: Walk,
  devices: DeviceList,
  fromFd: number,
  from: ByteString,
  parent: Directory,
  name: ByteString,
): void {
  const make = () => walk.host.linkat(fromFd, toBytes(from), parent.fd, toBytes(name), 0);
  try {
    make();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    const existing = walk.host.statat(parent.fd, toBytes(name), AT.SYMLINK_NOFOLLOW);
    const target = walk.host.statat(fromFd, toBytes(from), AT.SYMLINK_NOFOLLOW);
    if (existing.ino === target.ino && existing.dev === target.dev) return;
    clear(walk, devices, parent, name, existing);
    make();
  }
}

/** Removes what this layer has at `name`, so that the next entry can take its place. */
function clear(walk: Walk, devices: DeviceList, parent: Directory, name: ByteString, status: FileStatus): void {
  parent.changed = true;
  if (devices.size > 0) forgetDevices(devices, pathOf(walk, name));
  if (isDirectory(status)) removeTree(walk.host, parent.fd, toBytes(name));
  else walk.host.unlinkat(parent.fd, toBytes(name), 0);
}

function noLinkTarget(entry: TarEntry, why: string): RktError {
  return new RktError(
    "INVALID_INPUT",
    `Cannot unpack entry ${shown(entry.name)}: its hard link target ${shown(entry.link)} ${why}`,
  );
}
