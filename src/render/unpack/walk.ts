/**
 * Finding an entry's parent directory. The unpacker keeps the chain of directories of the entry before, opened, from the root down: archives are ordered, so
 * most entries need no look-up at all. Every step is one component looked up by hand; symbolic links are resolved inside the root, as in a chroot, so no
 * name and no link, however made, leads out.
 */

import { RktError } from "../../core/errors.ts";
import { AT, type FileStatus, type Host, isDirectory, O, S, type Timestamp } from "../../host/mod.ts";
import { attributesOf, setAttributes, setTimes } from "../attributes.ts";
import { isOpaque, isWhiteout, type Lower, lookBelow, pathIn, statusOf } from "../below.ts";
import { type ByteString, fromBytes, shown, toBytes } from "../tar/bytes.ts";
import type { KnownContent } from "../tree-digest.ts";

/** One directory of the chain. */
export interface Directory {
  readonly name: ByteString;
  /** In the layer being made; -1 while the directory only exists below. */
  fd: number;
  /** Layers below that show through it. Asked for only where it matters, because that may have to wait ({@link Below}). */
  below: () => readonly number[];
  /** Its modification time, put back when the chain leaves it: placing entries changed it. */
  mtime: Timestamp;
  changed: boolean;
}

/** The layers below, topmost first. */
export interface Below {
  readonly count: number;
  /** Waits until all of them are filled. */
  layers(): readonly Lower[];
}

export interface Walk {
  readonly host: Host;
  /** Root of the layer being made. */
  readonly target: Lower;
  readonly lowers: Below;
  /** The root, and the directories down to the last parent. */
  readonly chain: [Directory, ...Directory[]];
  /**
   * Paths that are in the layer only because something below or beside them is: copies of directories and files of layers below. A whiteout still
   * removes them; what an entry of this layer placed it does not.
   */
  readonly implicit: Set<ByteString>;
  /** The files that were written from the archive, by inode number: for the layer's digest. */
  readonly contents: Map<number, KnownContent>;
  /** The name whose parent the chain leads to, as the archive wrote it. */
  parentName: ByteString | undefined;
  /** An entry gave the root its attributes. */
  rootPlaced: boolean;
}

/** What the layer and those below show at a name in the chain's last directory. */
export interface Found {
  /** In the layer being made; a whiteout there is undefined, and `hidden`. */
  readonly upper: FileStatus | undefined;
  readonly hidden: boolean;
  /** Layers below that form (or would form) a directory at that name. */
  readonly below: () => readonly number[];
  readonly lower: () => { readonly layer: number; readonly status: FileStatus } | undefined;
}

const NONE: readonly number[] = [];
const noLayers = () => NONE;
const nothing = () => undefined;

/** As many as the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40;
/** A path longer than this cannot be given to the kernel; only links upon links lead there. */
const LONGEST_PATH = 4000;

/** Starts at the root of the layer. */
export function startWalk(host: Host, target: Lower, lowers: Below): Walk {
  const all = Array.from({ length: lowers.count }, (_, index) => index);
  const root: Directory = {
    name: "",
    fd: target.fd,
    below: () => all,
    mtime: { seconds: 0, nanoseconds: 0 },
    changed: true,
  };
  const [implicit, contents] = [new Set<ByteString>(), new Map<number, KnownContent>()];
  return { host, target, lowers, chain: [root], implicit, contents, parentName: undefined, rootPlaced: false };
}

/** Puts the times of all open directories back and closes them. A root directory that the archive does not name takes the attributes of the one below, as every directory does. */
export function endWalk(walk: Walk): void {
  const [root] = walk.chain;
  const [topmost] = walk.rootPlaced || walk.lowers.count === 0 ? [] : walk.lowers.layers();
  if (topmost !== undefined) {
    const status = walk.host.statat(topmost.fd, "", AT.EMPTY_PATH);
    const attributes = attributesOf(walk.host, Buffer.from(topmost.path), status);
    setAttributes(walk.host, root.fd, attributes);
    root.mtime = attributes.mtime;
    root.changed = true;
  }
  leaveTo(walk, 0);
}

export function last(walk: Walk): Directory {
  return walk.chain.at(-1) ?? walk.chain[0];
}

/** Path of `name` in the chain's last directory, from the root. */
export function pathOf(walk: Walk, name: ByteString): ByteString {
  const path = [...walk.chain.slice(1).map((directory) => directory.name), name].join("/");
  if (path.length > LONGEST_PATH) {
    throw new RktError("INVALID_INPUT", `Cannot unpack ${shown(path)}: the path is longer than ${LONGEST_PATH} bytes`);
  }
  return path;
}

/**
 * Makes the chain lead to the directory with these components, following links. A directory that exists nowhere is planned with mode 0755, owner 0:0 and
 * `mtime`, when `create` is set; else the result is false. Throws INVALID_INPUT when a component is neither directory nor link.
 */
export function walkTo(walk: Walk, components: readonly ByteString[], create: Timestamp | undefined): boolean {
  walk.parentName = undefined;
  const rest = [...components].reverse();
  let links = 0;
  let depth = 0;
  while (rest.length > 0 && walk.chain[depth + 1]?.name === rest.at(-1)) {
    rest.pop();
    depth += 1;
  }
  leaveTo(walk, depth);
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      // Only from a link's target. At the root it stays there, as in a chroot.
      leaveTo(walk, Math.max(walk.chain.length - 2, 0));
      continue;
    }
    const found = look(walk, name);
    const link = linkAt(walk, name, found);
    if (link !== undefined) {
      links += 1;
      if (links > MOST_LINKS) throw notReached(walk, name, "too many symbolic links");
      if (link.startsWith("/")) leaveTo(walk, 0);
      rest.push(...link.split("/").reverse());
      continue;
    }
    const status = found.upper ?? found.lower()?.status;
    if (status !== undefined && !isDirectory(status)) throw notReached(walk, name, "it is not a directory");
    if (status === undefined && create === undefined) return false;
    enter(walk, name, found, create ?? { seconds: 0, nanoseconds: 0 });
  }
  return true;
}

/** Looks up `name` in the chain's last directory. */
export function look(walk: Walk, name: ByteString): Found {
  const directory = last(walk);
  const upper = directory.fd < 0 ? undefined : statusOf(walk.host, directory.fd, toBytes(name));
  const path = pathOf(walk, name);
  const found = once(() => {
    const candidates = directory.below();
    return candidates.length === 0 ? undefined : lookBelow(walk.host, walk.lowers.layers(), candidates, path);
  });
  const below = () => found()?.directories ?? NONE;
  if (upper !== undefined && isWhiteout(upper)) return { upper: undefined, hidden: true, below, lower: nothing };
  if (upper === undefined) return { upper, hidden: false, below, lower: () => found()?.top };
  return { upper, hidden: false, below, lower: nothing };
}

/** `make`, called when its result is asked for the first time. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Creates the chain's directories in the layer, each with the attributes that it has below. */
export function materialise(walk: Walk): Directory {
  for (const [depth, directory] of walk.chain.entries()) {
    const parent = walk.chain[depth - 1];
    if (directory.fd >= 0 || parent === undefined) continue;
    const path = walk.chain
      .slice(1, depth + 1)
      .map(({ name }) => name)
      .join("/");
    directory.fd = makeDirectory(walk.host, parent, directory.name);
    const [layer] = directory.below();
    const lower = layer === undefined ? undefined : walk.lowers.layers()[layer];
    if (lower === undefined) {
      setAttributes(walk.host, directory.fd, { mode: 0o755, uid: 0, gid: 0, mtime: directory.mtime, xattrs: [] });
    } else {
      const status = walk.host.statat(lower.fd, toBytes(path), AT.SYMLINK_NOFOLLOW);
      const attributes = attributesOf(walk.host, pathIn(lower, toBytes(path)), status);
      setAttributes(walk.host, directory.fd, attributes);
      walk.implicit.add(path);
      directory.mtime = attributes.mtime;
    }
  }
  return last(walk);
}

/** Creates directory `name` in `parent` (which is in the layer) and opens it. */
export function makeDirectory(host: Host, parent: Directory, name: ByteString): number {
  parent.changed = true;
  host.mkdirat(parent.fd, toBytes(name), 0o700);
  return openDirectory(host, parent.fd, name);
}

export function openDirectory(host: Host, dirfd: number, name: ByteString): number {
  return host.openat(dirfd, toBytes(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
}

/** Appends a directory that was found (or is absent, and planned) to the chain. */
function enter(walk: Walk, name: ByteString, found: Found, mtime: Timestamp): void {
  const { host, chain } = walk;
  const parent = last(walk);
  if (found.upper !== undefined) {
    const fd = openDirectory(host, parent.fd, name);
    const path = pathOf(walk, name);
    const below = once(() => {
      const shown = found.below();
      return shown.length > 0 && isOpaque(host, pathIn(walk.target, toBytes(path))) ? NONE : shown;
    });
    const { mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds } = found.upper;
    chain.push({ name, fd, below, mtime: { seconds, nanoseconds }, changed: false });
    return;
  }
  if (!found.hidden) {
    // Below, or nowhere: it comes into the layer when something is placed in it.
    const below = found.lower() === undefined ? noLayers : found.below;
    chain.push({ name, fd: -1, below, mtime, changed: false });
    return;
  }
  // Its whiteout gives way to a directory of the same name that must go on hiding what is below.
  const fd = replaceWhiteout(walk, parent, name, found.below().length > 0);
  setAttributes(host, fd, { mode: 0o755, uid: 0, gid: 0, mtime, xattrs: [] });
  chain.push({ name, fd, below: noLayers, mtime, changed: false });
}

export function replaceWhiteout(walk: Walk, parent: Directory, name: ByteString, opaque: boolean): number {
  walk.host.unlinkat(parent.fd, toBytes(name), 0);
  const fd = makeDirectory(walk.host, parent, name);
  if (opaque) makeOpaque(walk.host, fd);
  return fd;
}

/** Marks an open directory of the layer (docs/decisions: overlays are mounted with `userxattr`). */
export function makeOpaque(host: Host, fd: number): void {
  host.fsetxattr(fd, "user.overlay.opaque", Buffer.from("y"));
}

/** Cuts the chain after `depth` directories below the root. */
export function leaveTo(walk: Walk, depth: number): void {
  while (walk.chain.length > depth + 1) {
    const directory = walk.chain.pop();
    if (directory === undefined || directory.fd < 0) continue;
    if (directory.changed) setTimes(walk.host, directory.fd, directory.mtime);
    walk.host.close(directory.fd);
  }
  const [root] = walk.chain;
  if (depth === 0 && root.changed && walk.chain.length === 1) {
    setTimes(walk.host, root.fd, root.mtime);
    root.changed = false;
  }
}

/** The target of the symbolic link that is shown at `name`, if it is one. */
function linkAt(walk: Walk, name: ByteString, found: Found): ByteString | undefined {
  const status = found.upper ?? found.lower()?.status;
  if (status === undefined || (status.mode & S.IFMT) !== S.IFLNK) return undefined;
  if (found.upper !== undefined) return fromBytes(walk.host.readlinkat(last(walk).fd, toBytes(name)));
  const top = found.lower();
  const lower = top === undefined ? undefined : walk.lowers.layers()[top.layer];
  return lower === undefined ? undefined : fromBytes(walk.host.readlinkat(lower.fd, toBytes(pathOf(walk, name))));
}

function notReached(walk: Walk, name: ByteString, why: string): RktError {
  return new RktError("INVALID_INPUT", `Cannot unpack what lies below ${shown(pathOf(walk, name))}: ${why}`);
}
