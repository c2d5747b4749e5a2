/** Names of pods (`--pod-name`), an addition to rkt 1.x: a name is a symbolic link, pods/names/NAME → UUID. It belongs to one pod at a time (claim-pod-name.ts). */

import { readlinkSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { isUuid, type PodUuid } from "../core/uuid.ts";
import { directoryNames } from "../host/directory-names.ts";
import { isErrno } from "../host/errno.ts";

/** Lower-case letters, digits and "-", at most 63 characters, and no UUID: it becomes a file name, and stands where a UUID can. */
export function isPodName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) && !isUuid(text);
}

/** The pod that has the name; undefined when none has (it may be gone all the same). */
export function uuidOfName(dataDir: DataDir, name: string): PodUuid | undefined {
  if (!isPodName(name)) return undefined;
  try {
    const target = readlinkSync(dataDir.podName(name));
    return isUuid(target) ? target : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "EINVAL", "EACCES")) return undefined;
    throw error;
  }
}

/** Every pod that has a name. */
export function podNamesByUuid(dataDir: DataDir): Map<PodUuid, string> {
  const names = new Map<PodUuid, string>();
  for (const name of directoryNames(dataDir.podNames, "EACCES").sort()) {
    const uuid = uuidOfName(dataDir, name);
    if (uuid !== undefined) names.set(uuid, name);
  }
  return names;
}
