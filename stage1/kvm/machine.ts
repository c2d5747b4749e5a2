/** How large a pod's machine is: rkt 1.x's rules (stage1/init/kvm/resources.go). Pure. */

import { cpuLimitMilli, memoryLimit, type PodManifest } from "../../src/spec/appc/mod.ts";

export interface MachineSize {
  readonly processors: number;
  readonly mebibytes: number;
}

/** What the guest's kernel, its systemd and the agent need besides the apps. */
const OVERHEAD = 128;
const LEAST = 512;

/**
 * Memory: what the apps may use, or the pod where that is limited, and 128 MB; at least 512 MB. Processors: the sum of the limits, rounded up; the host's where
 * there is no limit, or a higher one. An emulated processor keeps one of the host's busy, so without a limit an emulated machine has one.
 */
export function machineSize(manifest: PodManifest, host: { processors: number; accelerated: boolean }): MachineSize {
  const sets = manifest.apps.map(({ app }) => app?.isolators ?? []);
  const sum = (read: (isolators: (typeof sets)[number]) => number | undefined) =>
    read(manifest.isolators) ?? sets.reduce((total, isolators) => total + (read(isolators) ?? 0), 0);
  const wanted = Math.ceil(sum(cpuLimitMilli) / 1000);
  const processors = wanted > 0 ? Math.min(wanted, host.processors) : host.accelerated ? host.processors : 1;
  return { processors, mebibytes: Math.max(Math.ceil(sum(memoryLimit) / (1 << 20)) + OVERHEAD, LEAST) };
}
