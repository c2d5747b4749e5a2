/** Exporting from a pod with a user namespace: an image's files belong to users as the pod saw them, not to those that they were on the host. */

import { closeSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import type { IdRange } from "../core/id-range.ts";
import { AT_FDCWD, linux, MOVE_MOUNT_F_EMPTY_PATH } from "../host/mod.ts";
import { inOwnMounts } from "../host/own-mounts.ts";
import { openUserNamespace } from "../host/user-namespace.ts";
import { mapped } from "../stage0/map-layers.ts";

/**
 * Calls `pack` with a place where the files of `changed` have the pod's owners: a mapped mount in a namespace that only what `pack` starts (at once) lives in. Where
 * the kernel does not map owners there, with a file by which tar translates them (tar(1), --owner-map). `directory` is the export's own.
 */
export async function withPodOwners(
  ids: IdRange,
  directory: string,
  changed: string,
  pack: (place: string, owners?: string) => Promise<void>,
): Promise<void> {
  const place = join(directory, "changed");
  mkdirSync(place, { mode: 0o700 });
  const map = { from: ids.shift, to: 0, count: ids.count };
  let packing: { readonly done: Promise<void> };
  try {
    packing = packMapped(place, changed, await openUserNamespace(map), pack);
  } catch (error) {
    if (!(error instanceof RktError && error.code === "UNSUPPORTED")) throw error;
    packing = { done: pack(changed, translations(ids, directory)) };
  }
  await packing.done;
}

function packMapped(
  place: string,
  changed: string,
  userns: number,
  pack: (place: string) => Promise<void>,
): { readonly done: Promise<void> } {
  const fd = mapped(linux, changed, userns);
  try {
    return inOwnMounts(linux, () => {
      linux.moveMount(fd, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH);
      return { done: pack(place) };
    });
  } finally {
    closeSync(fd);
  }
}

/** `+OLD +NEW`, a line for every id of the pod. */
function translations({ shift, count }: IdRange, directory: string): string {
  const file = join(directory, "owners");
  writeFileSync(file, Array.from({ length: count }, (_, id) => `+${shift + id} +${id}\n`).join(""), { mode: 0o600 });
  return file;
}
