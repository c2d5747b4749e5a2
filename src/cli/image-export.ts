/** Images as ACI files: what was fetched, uncompressed, or an OCI image in that form. */

import { randomBytes } from "node:crypto";
import { closeSync, lstatSync, mkdirSync, openSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageIdFromSha512 } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { RenderedTree, StoredImage } from "../core/spine.ts";
import { hashFile } from "../host/hash-file.ts";
import { tryLock } from "../host/lock.ts";
import { AT, AT_FDCWD, linux, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { takePrepareLock } from "../pod/prepare-lock.ts";
import { copyTree } from "../render/copy-tree.ts";
import { obtainImage } from "../stage0/obtain-image.ts";
import { renderStored } from "../stage0/render-stored.ts";
import { openBlob } from "../store/mod.ts";
import { decompressTo, run, writeWhole } from "./export-file.ts";

/** The archive without its compression: the very bytes that the image's id is the digest of. Throws DIGEST_MISMATCH, HOST_PROGRAM, SYSTEM_CALL. */
export async function exportAci({ dataDir }: Engine, image: StoredImage, output: string): Promise<void> {
  const [archive] = image.layers;
  if (archive === undefined) throw internalError(`ACI ${image.id} without archive`);
  const blob = openBlob(dataDir, archive);
  try {
    await writeWhole(output, async (file) => {
      await decompressTo(blob, file);
      const id = imageIdFromSha512(hashFile(file, "sha512"));
      if (id !== image.id)
        throw new RktError("DIGEST_MISMATCH", `Cannot export image ${image.id}: its archive holds ${id}`);
    });
  } finally {
    closeSync(blob);
  }
}

/** The unpacked files of an OCI image with the manifest that it is run by; the same image gives the same bytes. Root only. Throws what rendering throws, HOST_PROGRAM without tar. */
export async function exportOci(engine: Engine, image: StoredImage, output: string): Promise<void> {
  await withUnpacked(engine, image, async (directory, tree) => {
    addDevices(join(directory, "rootfs"));
    writeFileSync(join(directory, "manifest"), tree.manifest, { mode: 0o644 });
    utimesSync(join(directory, "manifest"), 0, 0);
    await writeWhole(output, (file) => packDirectory(directory, ["manifest", "rootfs"], file));
  });
}

/** Calls `use` with a directory that holds a copy of the image's files in `rootfs`, for as long as that takes. */
export async function withUnpacked(
  engine: Engine,
  image: StoredImage,
  use: (directory: string, tree: RenderedTree) => Promise<void>,
): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", `Cannot convert image ${image.id}: permission denied`, {
      hint: "this unpacks the image, which needs root",
    });
  }
  const reference = { kind: "hash", text: image.id } as const;
  const verified = await obtainImage(engine, reference, { pullPolicy: "never", signature: undefined });
  const tree = await renderStored(engine, verified);
  const name = `rkt-image-export-${randomBytes(8).toString("hex")}`;
  const directory = join(engine.dataDir.tmp, name);
  mkdirSync(directory, { mode: 0o700 });
  // Its lock says that somebody works here: `image gc` removes the directory of an export that was killed.
  const working = openSync(directory, "r");
  tryLock(linux, working, "exclusive");
  try {
    const lock = await takePrepareLock(engine.dataDir, linux, "shared");
    try {
      mkdirSync(join(directory, "rootfs"), { mode: 0o700 });
      copyTree(linux, engine.dataDir, tree, join(directory, "rootfs"));
    } finally {
      closeSync(lock);
    }
    await use(directory, tree);
  } finally {
    removeCopy(engine.dataDir.tmp, name);
    closeSync(working);
  }
}

/** The copy holds what an image's author made up: names of any depth, and directories that nobody may enter. */
function removeCopy(parent: string, name: string): void {
  const fd = openSync(parent, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC);
  try {
    removeTree(linux, fd, name);
  } finally {
    closeSync(fd);
  }
}

/**
 * Packs `names` of a directory so that equal files give equal bytes: sorted, without access and change times. GNU tar writes its process id into names of pax headers and sparse
 * files; in a pid namespace of its own that is always the same.
 */
export async function packDirectory(directory: string, names: readonly string[], file: number): Promise<void> {
  const words = ["--create", "--format=posix", "--pax-option=delete=atime,delete=ctime", "--sort=name"];
  const attributes = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sparse", "--directory", directory];
  await run(
    ["unshare", "--pid", "--fork", "--kill-child=KILL", "tar", ...words, ...attributes, ...names],
    "ignore",
    file,
    false,
  );
}

/** What rkt 1.x's conversion added (docker2aci): other runtimes of App Container images make no /dev/stdin by themselves. Nothing of the image is replaced. */
const DEVICE_LINKS: readonly (readonly [name: string, target: string])[] = [
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/dev/console"],
  ["stderr", "/dev/console"],
  ["fd", "/proc/self/fd"],
];

function addDevices(rootfs: string): void {
  const dev = join(rootfs, "dev");
  const root = lstatSync(rootfs);
  if (lstatSync(dev, { throwIfNoEntry: false }) === undefined) mkdirSync(dev, { mode: 0o755 });
  // An image's own link could lead anywhere on this host.
  if (!lstatSync(dev).isDirectory()) return;
  for (const [name, target] of DEVICE_LINKS) {
    const path = join(dev, name);
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    symlinkSync(target, path);
    linux.utimensat(AT_FDCWD, path, EPOCH, EPOCH, AT.SYMLINK_NOFOLLOW);
  }
  utimesSync(dev, 0, 0);
  utimesSync(rootfs, root.atime, root.mtime);
}

const EPOCH = { seconds: 0, nanoseconds: 0 };
