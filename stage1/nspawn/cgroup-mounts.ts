/**
 * The pod's own part of each v1 cgroup hierarchy, where the pod's systemd can write its apps' limits. systemd-nspawn mounts v1 controllers read-only, and systemd
 * looks once, at its start, which controllers it may write: mounted or remounted later they are not used, and limits silently do nothing (seen). What
 * systemd-nspawn finds mounted it leaves alone (nspawn-mount.c, nspawn-cgroup.c), so these mounts come first.
 */

import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type IdRange, idOnHost } from "../../src/core/id-range.ts";
import { type CgroupLayout, directoriesOf, type PodCgroup } from "../../src/host/cgroup.ts";
import { AT, AT_FDCWD, type Host, isErrno, MS } from "../../src/host/mod.ts";

const NO_PROGRAMS = MS.NOSUID | MS.NODEV | MS.NOEXEC;

/**
 * Gives the pod's cgroups to its root, which is no root on the host: it may make cgroups below, and move its processes there, but not change the pod's own limits
 * (admin-guide/cgroup-v2.rst, "Delegation"; v1 has no other files to give). What it makes belongs to it. Throws SYSTEM_CALL.
 */
export function delegateCgroups(host: Host, cgroup: PodCgroup, layout: CgroupLayout, ids: IdRange): void {
  const root = idOnHost(ids, 0);
  for (const { directory } of directoriesOf(cgroup, layout)) {
    for (const name of ["", "cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"]) {
      try {
        host.fchownat(AT_FDCWD, join(directory, name), root, root, AT.SYMLINK_NOFOLLOW);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
  }
}

/**
 * Mounts below `stage1Root`/sys. In the pod's mount namespace, after it has joined its network namespace (a sysfs shows the network of whoever mounts it).
 * Nothing on v2, where systemd-nspawn delegates by itself. Only the pod's cgroup is bound, so the rest of the host's hierarchies is not in the pod at all. `writable`: the operator has given
 * up the protection of paths; on v2 systemd-nspawn is told the same. Throws SYSTEM_CALL.
 */
export function mountControllers(
  host: Host,
  stage1Root: string,
  cgroup: PodCgroup,
  layout: CgroupLayout,
  writable: boolean,
): void {
  const controllers = directoriesOf(cgroup, layout).filter(
    ({ hierarchy }) => hierarchy.version === 1 && !hierarchy.name.includes("="),
  );
  if (controllers.length === 0) return;
  const sys = join(stage1Root, "sys");
  mkdirSync(sys, { recursive: true, mode: 0o755 });
  host.mount("sysfs", sys, "sysfs", NO_PROGRAMS | (writable ? 0 : MS.RDONLY), null);
  const top = join(sys, "fs/cgroup");
  host.mount("tmpfs", top, "tmpfs", NO_PROGRAMS, "mode=0755,size=1m");
  for (const { hierarchy, directory } of controllers) {
    const place = join(top, hierarchy.name);
    mkdirSync(place, { mode: 0o755 });
    host.mount(directory, place, null, MS.BIND, null);
    // "cpu,cpuacct" is known as cpu and as cpuacct, too.
    const names = hierarchy.name.split(",");
    if (names.length > 1) for (const name of names) symlinkSync(hierarchy.name, join(top, name));
  }
}
