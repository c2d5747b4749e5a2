/**
 * The stage1 images that were built together with this executable. Their entrypoints run in this very process, since their code is the same bit for bit: a
 * start then costs one program start instead of two.
 */

import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Stage1Entrypoints } from "../../stage1/common/io.ts";
import type { ImageId } from "../core/digest.ts";
import { isImageId } from "../core/digest.ts";
import { FLAVORS, type Flavor, stage1FileName } from "../stage1-contract/mod.ts";

/** Set by the build: flavor → image id, name, version, file. */
declare const BUILD_STAGE1_IMAGES: Readonly<
  Record<string, { id: string; name: string; version: string; file: string }>
>;

export function builtinImageId(flavor: Flavor): ImageId | undefined {
  const images = typeof BUILD_STAGE1_IMAGES === "object" ? BUILD_STAGE1_IMAGES : {};
  const id = images[flavor]?.id;
  return id !== undefined && isImageId(id) ? id : undefined;
}

/** The flavor whose image, as built with this executable, has this id. */
export function builtinFlavor(id: ImageId): Flavor | undefined {
  return FLAVORS.find((flavor) => builtinImageId(flavor) === id);
}

/** Loads one flavor's code; must happen before any change of namespace. */
export async function loadEntrypoints(flavor: Flavor): Promise<Stage1Entrypoints> {
  switch (flavor) {
    case "nspawn":
      return import("../../stage1/nspawn/mod.ts");
    case "host":
      return import("../../stage1/host/mod.ts");
    case "fly":
      return import("../../stage1/fly/mod.ts");
    case "kvm":
      return import("../../stage1/kvm/mod.ts");
  }
}

/** Where a stage1 image file may lie, best first: the configured directory, the installed one, beside the executable (a build tree). */
export function stage1ImageFile(file: string, configured: string | undefined): string | undefined {
  const beside = dirname(realpathSync("/proc/self/exe"));
  const directories = [configured, join(beside, "../lib/rkt/stage1-images"), "/usr/lib/rkt/stage1-images", beside];
  return directories
    .flatMap((directory) => (directory === undefined ? [] : [join(directory, file)]))
    .find((path) => existsSync(path));
}

export function builtinImageFile(flavor: Flavor, configured: string | undefined): string | undefined {
  return stage1ImageFile(stage1FileName(flavor), configured);
}
