/** Mounting a rendered tree: one overlay of its layers, with an upper directory of the pod's own. */

import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { AT, AT_FDCWD, FSCONFIG, type Host, isErrno, MOUNT_ATTR, MOVE_MOUNT_F_EMPTY_PATH, MS, O } from "../host/mod.ts";
import { contextOption } from "../stage1-contract/selinux.ts";

export interface OverlayMount {
  /** Directory that the lower names are relative to. */
  base: string;
  /** Lower directories, topmost first, relative to `base`. */
  lower: readonly string[];
  upper: string;
  work: string;
  target: string;
  /** SELinux context of all its files (mount(8), "context="). */
  context?: string | undefined;
}

/** mount(2) copies its options into one page; a longer list fails with a misleading ELOOP. */
const LONGEST_OPTIONS = 4095;

/** overlayfs refuses more lower directories than this (fs/overlayfs, OVL_MAX_STACK). */
export const MOST_LAYERS = 500;

/** The magic of overlayfs in statfs(2): it cannot be the upper directory of another overlay. */
const OVERLAYFS_MAGIC = 0x794c7630;

/**
 * Mounts the overlay at `target` (created if missing) in the current mount namespace. `userxattr`: the layers' whiteouts and opaque marks were written by an
 * unpacker without CAP_SYS_ADMIN. nodev: an image's own device nodes are of no use to a pod, whose devices come from its supervisor, and would
 * open the host's disks where a device policy is missing. Changes the working directory of the process.
 */
export function mountOverlay(host: Host, overlay: OverlayMount): void {
  if (overlay.lower.length > MOST_LAYERS) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot mount an image of ${overlay.lower.length} layers: expected at most ${MOST_LAYERS}`,
    );
  }
  for (const directory of [overlay.upper, overlay.work, overlay.target])
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  takeRootAttributes(host, overlay);
  const options = `lowerdir=${overlay.lower.join(":")},upperdir=${overlay.upper},workdir=${overlay.work},userxattr${overlay.context === undefined ? "" : `,${contextOption(overlay.context)}`}`;
  host.chdir(overlay.base);
  if (Buffer.byteLength(options) <= LONGEST_OPTIONS && !needsEscape(overlay)) {
    host.mount("overlay", overlay.target, "overlay", MS.NODEV, options);
    return;
  }
  mountManyLayers(host, overlay);
}

/** The mount's root directory is the upper one: it gets the owner and mode of the image's root, not those that a new directory has here. */
function takeRootAttributes(host: Host, { base, lower: [top], upper }: OverlayMount): void {
  if (top === undefined) return;
  const { uid, gid, mode } = statSync(join(base, top));
  const fd = host.openat(AT_FDCWD, upper, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    host.fchownat(fd, "", uid, gid, AT.EMPTY_PATH);
    host.fchmod(fd, mode & 0o7777);
  } finally {
    host.close(fd);
  }
}

/** Colons and commas end a path in the option string. */
function needsEscape(overlay: OverlayMount): boolean {
  return /[:,\\]/.test(overlay.upper + overlay.work);
}

/** One option per layer (`lowerdir+`, Linux 6.5): neither the page nor special characters are a limit. */
function mountManyLayers(host: Host, overlay: OverlayMount): void {
  const context = host.fsOpen("overlay");
  try {
    for (const lower of overlay.lower) host.fsConfig(context, FSCONFIG.SET_STRING, "lowerdir+", lower);
    host.fsConfig(context, FSCONFIG.SET_STRING, "upperdir", overlay.upper);
    host.fsConfig(context, FSCONFIG.SET_STRING, "workdir", overlay.work);
    host.fsConfig(context, FSCONFIG.SET_FLAG, "userxattr", null);
    if (overlay.context !== undefined) host.fsConfig(context, FSCONFIG.SET_STRING, "context", overlay.context);
    host.fsConfig(context, FSCONFIG.CMD_CREATE, null, null);
    const mount = host.fsMount(context, MOUNT_ATTR.NODEV);
    try {
      host.moveMount(mount, "", AT_FDCWD, overlay.target, MOVE_MOUNT_F_EMPTY_PATH);
    } finally {
      host.close(mount);
    }
  } catch (cause) {
    if (!isErrno(cause, "EINVAL", "ENOSYS")) throw cause;
    throw new RktError(
      "UNSUPPORTED",
      `Cannot mount an image of ${overlay.lower.length} layers: this kernel takes about 120`,
      {
        cause,
        hint: "use --no-overlay, a Linux 6.5 or later, or a data directory without colons and commas in its path",
      },
    );
  } finally {
    host.close(context);
  }
}

/** False where the data directory itself lies on an overlay (rkt inside a container): pods are copied there, as with --no-overlay. */
export function supportsOverlay(host: Host, directory: string): boolean {
  return host.fileSystemType(directory) !== OVERLAYFS_MAGIC;
}
