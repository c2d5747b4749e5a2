/** Which devices a pod may use, and device nodes that its systemd needs to name the host's disks. */

import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { type CgroupLayout, directoriesOf, type PodCgroup } from "../../src/host/cgroup.ts";
import { AT_FDCWD, type Host, S } from "../../src/host/mod.ts";
import { type DeviceRule, deviceFilter } from "./device-filter.ts";
import type { SandboxVolume } from "./sandbox.ts";

/** null, zero, full, random, urandom; tty, console, ptmx; pseudo-terminals; tun. */
const ALWAYS: readonly DeviceRule[] = [
  ...[3, 5, 7, 8, 9].map((minor) => ({ type: "c", major: 1, minor, access: "rwm" }) as const),
  ...[0, 1, 2].map((minor) => ({ type: "c", major: 5, minor, access: "rwm" }) as const),
  { type: "c", major: 136, minor: undefined, access: "rwm" },
  { type: "c", major: 10, minor: 200, access: "rwm" },
];

/**
 * An app's root may make device nodes (CAP_MKNOD is in rkt's default set); this is what keeps it from opening the host's disks through them. On v1 by the devices
 * controller, on v2 (and where that controller cannot be written, as in a container) by a program on the pod's cgroup (bpf(2)), where the pod's own systemd cannot
 * take it away. Throws SYSTEM_CALL or UNSUPPORTED: a pod without it is not started.
 */
export function closeDevices(
  host: Host,
  cgroup: PodCgroup,
  layout: CgroupLayout,
  apps: readonly { readonly unit: { readonly volumes: readonly SandboxVolume[] } }[],
): void {
  const rules = [...ALWAYS, ...apps.flatMap((app) => app.unit.volumes.flatMap(ruleOf))];
  const directories = directoriesOf(cgroup, layout);
  const v1 = directories.find(
    ({ hierarchy, directory }) =>
      hierarchy.version === 1 && hierarchy.name.split(",").includes("devices") && existsSync(directory),
  );
  if (v1 !== undefined) {
    writeFileSync(join(v1.directory, "devices.deny"), "a");
    for (const { type, major, minor, access } of rules)
      writeFileSync(join(v1.directory, "devices.allow"), `${type} ${major}:${minor ?? "*"} ${access}`);
    return;
  }
  const v2 = directories.find(({ hierarchy }) => hierarchy.version === 2);
  if (v2 === undefined || !existsSync(v2.directory)) {
    throw new RktError(
      "UNSUPPORTED",
      'Cannot keep the pod from the host\'s devices: neither the cgroup controller "devices" nor cgroup v2 can be used on this host',
      { hint: "mount one of them writable, or give up the protection with --insecure-options=paths" },
    );
  }
  const fd = openSync(v2.directory, "r");
  try {
    host.attachDeviceFilter(fd, deviceFilter(rules));
  } finally {
    closeSync(fd);
  }
}

function ruleOf({ readOnly, open: { device } }: SandboxVolume): DeviceRule[] {
  return device === undefined ? [] : [{ ...device, access: readOnly ? "r" : "rw" }];
}

/**
 * A node for every disk of the host in the pod's own root, not in any app's: systemd names disks by path in its limits (IOReadBandwidthMax=). Gives their paths in
 * the pod. They cannot be opened: the root is mounted nodev, and the pod's policy forbids it.
 */
export function makeDiskNodes(host: Host, stage1Root: string): string[] {
  const directory = join(stage1Root, "rkt/disks");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return readDisks().map(({ name, major, minor }) => {
    host.mknodat(AT_FDCWD, join(directory, name), S.IFBLK, { major, minor });
    return `/rkt/disks/${name}`;
  });
}

/** Whole disks that have a size. */
export function readDisks(): { name: string; major: number; minor: number }[] {
  return list("/sys/block").flatMap((name) => {
    const [major, minor] = readText(`/sys/block/${name}/dev`).split(":").map(Number);
    if (readText(`/sys/block/${name}/size`) === "0" || major === undefined || minor === undefined) return [];
    return [{ name: name.replaceAll("!", "-"), major, minor }];
  });
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "0";
  }
}
