/** Detached mounts (volumes.ts) into an app's root: where they go is decided inside that root, whatever links the image has put there. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Host, isErrno, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, O } from "../../src/host/mod.ts";
import { makeDirectoryInRoot, makeFileInRoot, openInRoot } from "./in-root.ts";

export interface Attachment {
  /** A detached mount; closed. */
  readonly fd: number;
  readonly isDirectory: boolean;
  /** Absolute path in the root. */
  readonly target: string;
  /** For errors: `volume "data"`. */
  readonly what: string;
}

/** Makes what the mount will lie on, where it is missing. Throws INVALID_INPUT when the image has something there that cannot be it. */
export function makeTarget(host: Host, root: number, { target, isDirectory, what }: Omit<Attachment, "fd">): void {
  try {
    if (isDirectory) host.close(makeDirectoryInRoot(host, root, target));
    else makeFileInRoot(host, root, target);
  } catch (cause) {
    if (!isErrno(cause, "ENOTDIR", "ELOOP", "EINVAL", "EROFS", "ENAMETOOLONG")) throw cause;
    throw cannot(what, target, obstacle(host, root, target), cause);
  }
}

/** Mounts it. In a mount namespace of the pod's own. Throws INVALID_INPUT when a file would lie on a directory or the other way round. */
export function attach(host: Host, root: number, attachment: Attachment): void {
  const { fd, target, what, isDirectory } = attachment;
  try {
    makeTarget(host, root, attachment);
    const place = openInRoot(host, root, target, O.PATH);
    try {
      host.moveMount(fd, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    } catch (cause) {
      if (!isErrno(cause, "ENOTDIR", "EINVAL")) throw cause;
      const [source, there] = isDirectory ? ["a directory", "a file"] : ["a file", "a directory"];
      throw cannot(what, target, `it is ${source}, and the image has ${there} there`, cause);
    } finally {
      host.close(place);
    }
  } finally {
    host.close(fd);
  }
}

function cannot(what: string, target: string, why: string, cause: unknown): RktError {
  return new RktError("INVALID_INPUT", `Cannot mount ${what} at ${quoted(target)} of the app: ${why}`, {
    cause,
    hint: "choose another target",
  });
}

/** The first component of the path that is no directory. */
function obstacle(host: Host, root: number, target: string): string {
  const parts = target.split("/").filter((part) => part !== "");
  for (let count = 1; count <= parts.length; count += 1) {
    const path = `/${parts.slice(0, count).join("/")}`;
    try {
      host.close(openInRoot(host, root, path, O.PATH | O.DIRECTORY));
    } catch (error) {
      if (isErrno(error, "ENOTDIR")) return `${quoted(path)} is a file in the image`;
      if (isErrno(error, "ELOOP")) return `${quoted(path)} is a symbolic link that leads to itself`;
      return `${quoted(path)} cannot be made there`;
    }
  }
  return "it cannot be made there";
}
