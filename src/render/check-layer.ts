/** Whether a rendered layer is still what it was when it was unpacked. */

import type { DataDir } from "../core/data-dir.ts";
import { AT_FDCWD, type Host, isErrno, O } from "../host/mod.ts";
import { layerMark } from "./layer-store.ts";
import { treeDigest } from "./tree-digest.ts";

/**
 * Reads a whole layer; the result says what is wrong with it, or is undefined. A layer that an earlier release unpacked, without a digest, passes. Root only; under the prepare lock,
 * or the layer may go away meanwhile. Throws SystemCallError.
 */
export function layerDamage(host: Host, dataDir: DataDir, layerId: string): string | undefined {
  const mark = layerMark(dataDir, layerId);
  if (mark === undefined) return "its mark is missing or cannot be read";
  const path = dataDir.layerRootfs(layerId);
  let fd: number;
  try {
    fd = host.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return "its root directory is missing";
    throw error;
  }
  try {
    if (mark.digest === undefined) return undefined;
    const found = treeDigest(host, { path, fd }, undefined);
    return found === mark.digest ? undefined : `its files have ${found}, expected ${mark.digest}`;
  } finally {
    host.close(fd);
  }
}
