/** What an app may use, as lines of systemd.resource-control(5). Pure. */

import {
  type App,
  cpuLimitMilli,
  cpuShares,
  ISOLATOR,
  memoryLimit,
  oomScoreAdj,
  pidsLimit,
  rateLimit,
} from "../../src/spec/appc/mod.ts";
import { pathWord, slicePart } from "./unit-text.ts";

/** An app with limits has a slice, which carries them: what is entered into the app comes under the same ones. */
export function sliceName(app: string): string {
  return `app-${slicePart(app)}.slice`;
}

export function hasLimits(app: App): boolean {
  return limitLines(app, ["/"]).length > 0;
}

/** The [Slice] lines. `disks`: device nodes, in the pod's own root, of every block device of the host. */
export function limitLines({ isolators }: Pick<App, "isolators">, disks: readonly string[]): string[] {
  const memory = memoryLimit(isolators);
  const cpu = cpuLimitMilli(isolators);
  const shares = cpuShares(isolators);
  const pids = pidsLimit(isolators);
  const bandwidth = rateLimit(isolators, ISOLATOR.blockBandwidth);
  const operations = rateLimit(isolators, ISOLATOR.blockIops);
  const onEach = (limit: number | undefined, ...keys: string[]) =>
    limit === undefined ? [] : disks.flatMap((disk) => keys.map((key) => `${key}=${pathWord(disk)} ${limit}`));
  return [
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`]),
    ...(cpu === undefined ? [] : [`CPUQuota=${cpu / 10}%`]),
    ...(shares === undefined ? [] : [`CPUShares=${shares}`]),
    ...(pids === undefined ? [] : [`TasksMax=${pids}`]),
    ...onEach(bandwidth, "IOReadBandwidthMax", "IOWriteBandwidthMax"),
    ...onEach(operations, "IOReadIOPSMax", "IOWriteIOPSMax"),
  ];
}

export function limitsDisks({ isolators }: App): boolean {
  return [ISOLATOR.blockBandwidth, ISOLATOR.blockIops].some((name) => isolators.some((one) => one.name === name));
}

export function oomScoreLines({ isolators }: App): string[] {
  const score = oomScoreAdj(isolators);
  return score === undefined ? [] : [`OOMScoreAdjust=${score}`];
}
