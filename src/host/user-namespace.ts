/**
 * User namespaces for idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP). This process never enters one: the kernel refuses that to a process with several
 * threads. A child holds it while its maps are written; afterwards a descriptor is enough to keep it.
 */

import { openSync, writeFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { isErrno } from "./errno.ts";

/** `count` ids from `from` on, as a file system has them, are shown as those from `to` on. */
export interface IdMap {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** One start asks several times for the same: to try, to mount layers, to map volumes. A child each time would be what the flag costs most. */
const opened = new Map<string, number>();

/**
 * A user namespace with this map for users and groups, as a descriptor (close-on-exec) that stays open until this process ends or becomes another program: not to be
 * closed. The first time takes about 3 ms. Throws UNSUPPORTED where the host allows no user namespaces, HOST_PROGRAM without util-linux.
 */
export async function openUserNamespace(map: IdMap): Promise<number> {
  const key = `${map.from} ${map.to} ${map.count}`;
  const known = opened.get(key);
  if (known !== undefined) return known;
  const fd = await makeUserNamespace(key);
  opened.set(key, fd);
  return fd;
}

/** The child reads its input to the end, so it goes even when this process is killed meanwhile. */
async function makeUserNamespace(line: string): Promise<number> {
  const child = startHolder();
  try {
    child.stdin.write("\n");
    child.stdin.flush();
    // cat(1) answers only after unshare(1) has become it, in the new namespace.
    const { done } = await child.stdout.getReader().read();
    if (done) throw refused((await new Response(child.stderr).text()).trim());
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${child.pid}/${map}`, `${line}\n`);
    return openSync(`/proc/${child.pid}/ns/user`, "r");
  } catch (cause) {
    if (!isErrno(cause, "EPERM", "EINVAL", "ENOSPC", "ENOENT")) throw cause;
    throw refused("its maps cannot be written", cause);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

function startHolder() {
  try {
    return Bun.spawn(["/usr/bin/unshare", "--user", "--", "/bin/cat"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: "/usr/bin:/bin" },
      cwd: "/",
    });
  } catch (cause) {
    throw new RktError("HOST_PROGRAM", 'Cannot make a user namespace: "/usr/bin/unshare" cannot be started', {
      cause,
      hint: "install util-linux",
    });
  }
}

function refused(why: string, cause?: unknown): RktError {
  return new RktError("UNSUPPORTED", `Cannot make a user namespace: ${why}`, {
    cause,
    hint: "look at /proc/sys/user/max_user_namespaces, or leave --private-users out",
  });
}
