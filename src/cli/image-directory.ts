/** `image extract` and `image render`: an image as a plain directory. */

import { closeSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { RenderedTree, StoredImage } from "../core/spine.ts";
import { AT_FDCWD, linux, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { takePrepareLock } from "../pod/prepare-lock.ts";
import { copyTree } from "../render/copy-tree.ts";
import { isRendered } from "../render/layer-store.ts";
import { obtainImage } from "../stage0/obtain-image.ts";
import { renderStored } from "../stage0/render-stored.ts";
import type { CommandInput, FlagSpec } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";
import { storedImage } from "./stored-image.ts";

export const DIRECTORY_FLAGS: readonly FlagSpec[] = [
  { name: "rootfs-only", kind: "bool", usage: "write the root file system only, without the manifest" },
  { name: "overwrite", kind: "bool", usage: "replace the output directory if it exists" },
];

/** Writes `rootfs/` and `manifest` of the image below the directory, or with --rootfs-only the files themselves. Root only. */
export async function writeImageDirectory(
  { engine, flags, args }: CommandInput,
  part: "whole" | "own layer" = "whole",
): Promise<void> {
  const [name, directory, ...rest] = args;
  if (name === undefined || directory === undefined || rest.length > 0) {
    throw new CommandLineError("must provide an image and an output directory");
  }
  const output = resolve(directory);
  // Before anything is unpacked: a typing error should not cost minutes.
  makeRoom(output, flags.bool("overwrite"), false);
  const { id } = storedImage(engine, name);
  const image = await obtainImage(engine, { kind: "hash", text: id }, { pullPolicy: "never", signature: undefined });
  const rendered = await renderStored(engine, image);
  const tree = part === "whole" ? rendered : ownLayer(engine.dataDir, image, rendered);
  makeRoom(output, flags.bool("overwrite"), true);
  const lock = await takePrepareLock(engine.dataDir, linux, "shared");
  try {
    if (flags.bool("rootfs-only")) copyInto(output, tree, engine.dataDir);
    else {
      mkdirSync(output, { mode: 0o755 });
      writeFileSync(join(output, "manifest"), tree.manifest, { flag: "wx", mode: 0o644 });
      copyInto(join(output, "rootfs"), tree, engine.dataDir);
    }
  } finally {
    closeSync(lock);
  }
}

/** An ACI without what it depends on, and as it is in its archive; the layers of an OCI image are one file system. */
function ownLayer(dataDir: DataDir, image: StoredImage, tree: RenderedTree): RenderedTree {
  if (image.format === "oci") return tree;
  // Where a whitelist applies, the layer in the tree is a part of the image.
  const layers = isRendered(dataDir, image.id) ? [{ layerId: image.id, link: "" }] : tree.layers.slice(0, 1);
  return { ...tree, layers };
}

function copyInto(target: string, tree: RenderedTree, dataDir: CommandInput["engine"]["dataDir"]): void {
  // Closed until it has the image's own mode: nobody meets half of a set-user-id program.
  mkdirSync(target, { mode: 0o700 });
  copyTree(linux, dataDir, tree, target);
}

/** Throws CONFLICT (rkt's words) when there is something and it may not be replaced. */
function makeRoom(output: string, overwrite: boolean, remove: boolean): void {
  if (lstatSync(output, { throwIfNoEntry: false }) === undefined) return;
  if (!overwrite) throw new RktError("CONFLICT", "output directory exists (try --overwrite)");
  if (output === "/") throw new RktError("USAGE", "this would delete your root filesystem. Refusing.");
  if (!remove) return;
  const parent = linux.openat(AT_FDCWD, dirname(output), O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    removeTree(linux, parent, basename(output));
  } finally {
    linux.close(parent);
  }
}
