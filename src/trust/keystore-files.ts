/**
 * The files of the keystore, whatever they hold. `trustedkeys/root.d` and `trustedkeys/prefix.d/PREFIX` are those of rkt 1.x, for OpenPGP keys; what rkt 1.x cannot read
 * (Sigstore keys and identities) lies in `trustedkeys/sigstore-root.d` and `trustedkeys/sigstore-prefix.d/PREFIX`, so that it still finds only what it knows.
 */

import { lstatSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { removeFileBeneath, replaceFileBeneath } from "../host/beneath.ts";
import { AT_FDCWD, type Host, isErrno, O, RESOLVE } from "../host/mod.ts";
import { parsePrefix, prefixesOf } from "./prefix.ts";

export interface TrustDirs {
  readonly systemConfigDir: string;
  readonly localConfigDir: string;
}

/** Before "root.d" and "prefix.d": OpenPGP keys, or Sigstore's. */
export type KeystoreTree = "" | "sigstore-";

export interface KeystoreFile {
  readonly name: string;
  readonly path: string;
  /** "" for all images. */
  readonly prefix: string;
}

export interface KeystorePlace {
  readonly tree: KeystoreTree;
  readonly prefix: string;
  readonly name: string;
}

/**
 * The files for images that are called by any of `names`: those of the root, then those of every leading part of a name, whole components only ("example.com/app" has
 * "example.com" and "example.com/app", not "example.com/ap"). The system's come before the host's; a file of the same name replaces the one before it, and an empty one
 * takes trust back. Throws INVALID_INPUT for a name that could lead out of the keystore.
 */
export function keystoreFiles(names: readonly string[], dirs: TrustDirs, tree: KeystoreTree): KeystoreFile[] {
  const both = keystoresOf(dirs);
  const prefixes = [...new Set(names.flatMap(prefixesOf))];
  const places = [
    ...both.map((keys) => ({ directory: join(keys, place(tree, "")), prefix: "" })),
    ...both.flatMap((keys) => prefixes.map((prefix) => ({ directory: join(keys, place(tree, prefix)), prefix }))),
  ];
  const files = new Map<string, KeystoreFile>();
  for (const { directory, prefix } of places) {
    for (const file of filesIn(directory, prefix)) {
      if (statSync(file.path).size === 0) files.delete(file.name);
      else files.set(file.name, file);
    }
  }
  return [...files.values()];
}

/** Every file of the keystore, for each prefix; empty ones and what they take back are left out. */
export function allKeystoreFiles(dirs: TrustDirs, tree: KeystoreTree): KeystoreFile[] {
  const files = new Map<string, KeystoreFile>();
  for (const keys of keystoresOf(dirs)) {
    const found = [...filesIn(join(keys, `${tree}root.d`), ""), ...filesBelow(join(keys, `${tree}prefix.d`), "", 0)];
    for (const file of found) {
      const key = `${file.prefix}\n${file.name}`;
      if (statSync(file.path).size === 0) files.delete(key);
      else files.set(key, file);
    }
  }
  return [...files.values()].sort((a, b) =>
    a.prefix === b.prefix ? compare(a.name, b.name) : compare(a.prefix, b.prefix),
  );
}

/** Writes a file of the host's keystore and returns its path. Directories are 0755, the file 0644 (rkt 1.x). Throws INVALID_INPUT, PERMISSION. */
export function writeKeystoreFile(host: Host, localConfigDir: string, where: KeystorePlace, content: string): string {
  const directory = join("trustedkeys", place(where.tree, where.prefix === "" ? "" : parsePrefix(where.prefix)));
  const path = join(localConfigDir, directory, where.name);
  permitted(path, () => {
    mkdirSync(localConfigDir, { recursive: true });
    makeDirectories(host, localConfigDir, directory);
    replaceFileBeneath(host, localConfigDir, join(directory, where.name), content, 0o644);
  });
  return path;
}

/**
 * Takes back the trust in a file: removes the host's, and puts an empty one in its place when the system has one too. Returns the paths. None when there is nothing to
 * take back. Throws INVALID_INPUT, PERMISSION.
 */
export function removeKeystoreFile(host: Host, dirs: TrustDirs, where: KeystorePlace): string[] {
  const relative = join(
    "trustedkeys",
    place(where.tree, where.prefix === "" ? "" : parsePrefix(where.prefix)),
    where.name,
  );
  const [system, local] = [join(dirs.systemConfigDir, relative), join(dirs.localConfigDir, relative)];
  const hasSystem = lstatSync(system, { throwIfNoEntry: false }) !== undefined;
  const localSize = lstatSync(local, { throwIfNoEntry: false })?.size;
  if (localSize === 0 || (localSize === undefined && !hasSystem)) return [];
  if (hasSystem) return [writeKeystoreFile(host, dirs.localConfigDir, where, "")];
  permitted(local, () => removeFileBeneath(host, dirs.localConfigDir, relative));
  return [local];
}

function keystoresOf({ systemConfigDir, localConfigDir }: TrustDirs): string[] {
  return [systemConfigDir, localConfigDir].map((dir) => join(dir, "trustedkeys"));
}

function place(tree: KeystoreTree, prefix: string): string {
  return prefix === "" ? `${tree}root.d` : join(`${tree}prefix.d`, prefix);
}

function filesIn(directory: string, prefix: string): KeystoreFile[] {
  return entriesOf(directory)
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map(({ name }) => ({ name, path: join(directory, name), prefix }))
    .filter(({ path }) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

/** A name has at most 255 characters, so the depth is bounded by itself; a loop of bind mounts is not. */
const DEEPEST = 64;

function filesBelow(directory: string, prefix: string, depth: number): KeystoreFile[] {
  if (depth > DEEPEST) return [];
  return entriesOf(directory)
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => {
      const inner = prefix === "" ? name : `${prefix}/${name}`;
      return [...filesIn(join(directory, name), inner), ...filesBelow(join(directory, name), inner, depth + 1)];
    });
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith("."))
      .sort((a, b) => compare(a.name, b.name));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function permitted(path: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    if (!isErrno(cause, "EACCES", "EPERM", "EROFS")) throw cause;
    throw new RktError("PERMISSION", `Cannot write ${quoted(path)}`, {
      cause,
      hint: 'become root, or a member of group "rkt-admin"',
    });
  }
}

/** Group rkt-admin writes below the configuration directory: no link of theirs may lead root elsewhere. */
function makeDirectories(host: Host, root: string, place: string): void {
  const within = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS;
  let parent = host.openat(AT_FDCWD, root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    for (const name of place.split("/")) {
      makeDirectory(host, parent, name);
      const child = host.openat2(parent, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, within);
      host.close(parent);
      parent = child;
    }
  } finally {
    host.close(parent);
  }
}

function makeDirectory(host: Host, parent: number, name: string): void {
  try {
    host.mkdirat(parent, name, 0o755);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}
