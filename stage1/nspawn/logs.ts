/** The pod's directory of logs: a directory of the host, where iomux writes. Mounted in the pod's own root, not in any app's. */

import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import {
  AT_FDCWD,
  type Host,
  isErrno,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  O,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../../src/host/mod.ts";
import { makeDirectoryInRoot, openRoot } from "../common/in-root.ts";
import { mapVolume, unmappedText } from "../common/map-volume.ts";
import type { VolumeUsers } from "../common/volumes.ts";
import { LOG_DIRECTORY } from "./iomux.ts";

/** A detached clone, made in the caller's mount namespace; undefined without a directory. `users`: whose the files are, in a pod with a user namespace. Throws NOT_FOUND. */
export function openLogs(host: Host, directory: string | undefined, users?: VolumeUsers): number | undefined {
  if (directory === undefined) return undefined;
  try {
    host.close(host.openat(AT_FDCWD, directory, O.PATH | O.DIRECTORY | O.CLOEXEC, 0));
    const logs = host.openTree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    const source = { source: directory, recursive: false };
    if (users !== undefined)
      for (const mount of mapVolume(host, logs, source, users.userns)) users.warn(unmappedText("logs", mount));
    return logs;
  } catch (cause) {
    if (!isErrno(cause, "ENOENT", "ENOTDIR")) throw cause;
    throw new RktError("NOT_FOUND", `Cannot use ${quoted(directory)} for the pod's logs: no such directory`, { cause });
  }
}

/** In the pod's mount namespace. */
export function mountLogs(host: Host, stage1Root: string, logs: number | undefined): void {
  if (logs === undefined) return;
  const root = openRoot(host, stage1Root);
  const place = makeDirectoryInRoot(host, root, join("/", LOG_DIRECTORY));
  host.moveMount(logs, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  for (const fd of [logs, place, root]) host.close(fd);
}
