/** Limits of the whole pod, written to its cgroup before anything runs in it: what the apps' own limits (limits.ts) are bounded by. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type CgroupLayout, directoriesOf, type PodCgroup } from "../../src/host/cgroup.ts";
import {
  cpuLimitMilli,
  cpuShares,
  ISOLATOR,
  type Isolator,
  memoryLimit,
  type PodManifest,
  pidsLimit,
  rateLimit,
} from "../../src/spec/appc/mod.ts";
import type { Stage1Io } from "../common/io.ts";
import { readDisks } from "./devices.ts";

/** A value for one file of a controller. */
export interface ControlWrite {
  /** v1's name of the controller. */
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

/** Writes the pod's limits; warns of every isolator, the apps' too, that this kernel or this rkt cannot hold. Throws SYSTEM_CALL when the kernel refuses a value. */
export function limitPod(io: Stage1Io, manifest: PodManifest, cgroup: PodCgroup, layout: CgroupLayout): void {
  const all = [...manifest.isolators, ...manifest.apps.flatMap((app) => app.app?.isolators ?? [])];
  if (all.length === 0) return;
  const directories = new Map(
    directoriesOf(cgroup, layout).flatMap(({ hierarchy, directory }) =>
      (hierarchy.version === 2 ? controllersOn(layout, directory) : hierarchy.name.split(",")).map(
        (controller): [string, { version: 1 | 2; directory: string }] => [
          controller,
          { version: hierarchy.version, directory },
        ],
      ),
    ),
  );
  for (const text of warnings(manifest, new Set(directories.keys()))) io.emit({ kind: "warning", text });
  for (const version of [1, 2] as const) {
    for (const { controller, file, value } of controlWrites(manifest.isolators, version, readDisks)) {
      const place = directories.get(controller);
      if (place?.version === version) write(join(place.directory, file), value);
    }
  }
}

/** On a hybrid host the controllers are v1's. */
function controllersOn(layout: CgroupLayout, directory: string): string[] {
  if (layout.kind === "hybrid") return [];
  const names = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim().split(" ");
  return names.map((name) => (name === "io" ? "blkio" : name));
}

function write(file: string, value: string): void {
  try {
    writeFileSync(file, value, { flag: "r+" });
  } catch (cause) {
    throw new RktError("SYSTEM_CALL", `Cannot limit the pod: writing ${quoted(value)} to ${quoted(file)} failed`, {
      cause,
    });
  }
}

const CONTROLLER: Readonly<Record<string, string>> = {
  [ISOLATOR.memory]: "memory",
  [ISOLATOR.cpu]: "cpu",
  [ISOLATOR.cpuShares]: "cpu",
  [ISOLATOR.pids]: "pids",
  [ISOLATOR.blockBandwidth]: "blkio",
  [ISOLATOR.blockIops]: "blkio",
};

/** Isolators of a pod that are put into effect elsewhere: network.ts, sysctl.ts. */
const ELSEWHERE: readonly string[] = [ISOLATOR.networkBandwidth, ISOLATOR.sysctl];

/** What has no effect, and why. Pure. */
export function warnings(manifest: PodManifest, controllers: ReadonlySet<string>): string[] {
  const lines = new Set<string>();
  const missing = ({ name }: Isolator) => {
    const controller = CONTROLLER[name];
    if (controller !== undefined && !controllers.has(controller))
      lines.add(
        `warning: ${name} isolator set but support disabled in the kernel, skipping (cgroup controller ${quoted(controller)})`,
      );
  };
  for (const isolator of manifest.isolators) {
    missing(isolator);
    if (CONTROLLER[isolator.name] === undefined && !ELSEWHERE.includes(isolator.name))
      lines.add(
        `warning: isolator ${quoted(isolator.name)} of the pod has no effect: this stage1 does not know it for a pod`,
      );
  }
  for (const { name, app } of manifest.apps) {
    for (const isolator of app?.isolators ?? []) {
      missing(isolator);
      if (
        isolator.name === ISOLATOR.selinuxContext ||
        isolator.name === ISOLATOR.networkBandwidth ||
        isolator.name === ISOLATOR.sysctl
      )
        lines.add(
          `warning: isolator ${quoted(isolator.name)} of app ${quoted(name)} has no effect${ELSEWHERE.includes(isolator.name) ? ": set it for the pod" : ""}`,
        );
    }
  }
  return [...lines];
}

const PERIOD = 100_000;

/** The kernel's files for the pod's isolators (admin-guide/cgroup-v1, cgroup-v2.rst). Pure but for `disks`, which is only called when a rate is limited. */
export function controlWrites(
  isolators: readonly Isolator[],
  version: 1 | 2,
  disks: () => readonly { readonly major: number; readonly minor: number }[],
): ControlWrite[] {
  const writes: ControlWrite[] = [];
  const put = (controller: string, v1: string, v2: string, value: number | string | undefined) => {
    if (value !== undefined) writes.push({ controller, file: version === 1 ? v1 : v2, value: String(value) });
  };
  put("memory", "memory.limit_in_bytes", "memory.max", memoryLimit(isolators));
  put("pids", "pids.max", "pids.max", pidsLimit(isolators));
  const cpu = cpuLimitMilli(isolators);
  if (cpu !== undefined && version === 1) put("cpu", "cpu.cfs_period_us", "", PERIOD);
  if (cpu !== undefined) {
    const quota = Math.max(1000, (cpu * PERIOD) / 1000);
    put("cpu", "cpu.cfs_quota_us", "cpu.max", version === 1 ? quota : `${quota} ${PERIOD}`);
  }
  const shares = cpuShares(isolators);
  if (shares !== undefined) {
    // The kernel's and every engine's conversion of [2, 262144] to [1, 10000].
    put("cpu", "cpu.shares", "cpu.weight", version === 1 ? shares : 1 + Math.floor(((shares - 2) * 9999) / 262142));
  }
  const rates = [
    [ISOLATOR.blockBandwidth, "bps"],
    [ISOLATOR.blockIops, "iops"],
  ] as const;
  for (const [name, unit] of rates) {
    const limit = rateLimit(isolators, name);
    if (limit === undefined) continue;
    for (const { major, minor } of disks()) {
      if (version === 2) put("blkio", "", "io.max", `${major}:${minor} r${unit}=${limit} w${unit}=${limit}`);
      else
        for (const way of ["read", "write"])
          put("blkio", `blkio.throttle.${way}_${unit}_device`, "", `${major}:${minor} ${limit}`);
    }
  }
  return writes;
}
