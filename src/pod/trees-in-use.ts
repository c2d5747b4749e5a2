/** Which rendered trees the pods stand on. */

import { readdirSync } from "node:fs";
import { type DataDir, POD_STATE_DIRS } from "../core/data-dir.ts";
import { isUuid } from "../core/uuid.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { closePod, openPod, podNames, podReader } from "./find.ts";
import { readPodFile } from "./read.ts";

/**
 * Tree ids of every pod, in whatever state. The caller holds `prepareLock` exclusively: a pod that is being prepared has chosen its trees before it writes
 * their ids. Throws PERMISSION.
 */
export function treesInUse(dataDir: DataDir, host: Host): Set<string> {
  const reader = podReader(dataDir, host);
  const trees = new Set<string>();
  for (const name of podNames(dataDir, POD_STATE_DIRS)) {
    const pod = isUuid(name) ? openPod(reader, name) : undefined;
    if (pod === undefined) continue;
    try {
      const files = ["stage1TreeStoreID", ...appsOf(pod.fd).map((app) => `appsinfo/${app}/treeStoreID`)];
      for (const file of files) {
        const id = readPodFile(host, pod, file, 1024)?.text.trim();
        if (id !== undefined && id !== "") trees.add(id);
      }
    } finally {
      closePod(host, pod);
    }
  }
  return trees;
}

function appsOf(fd: number): string[] {
  try {
    return readdirSync(`/proc/self/fd/${fd}/appsinfo`);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
