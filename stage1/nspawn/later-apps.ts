/**
 * What `run` remembers of a pod to which apps are added later: they get the resolver files, limits and devices that the pod was started with, not those of whoever
 * adds them. In the pod's directory, where nothing of the pod can write.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import type { RunArguments } from "../../src/stage1-contract/mod.ts";
import type { NamedLimit } from "./caller-limits.ts";
import type { DevOptions } from "./dev.ts";
import type { ResolverBind } from "./resolver.ts";

export interface LaterApps {
  readonly resolver: readonly ResolverBind[];
  readonly dev: DevOptions;
  readonly limits: readonly NamedLimit[];
  /** Capabilities that the pod has at all; undefined: every one. */
  readonly capabilities: readonly string[] | undefined;
  readonly disablePaths: boolean;
  readonly disableSeccomp: boolean;
}

export function writeLaterApps(podDir: string, later: LaterApps): void {
  const limits = later.limits.map(({ name, soft, hard }) => ({ name, soft: String(soft), hard: String(hard) }));
  writeFileSync(new PodFiles(podDir).laterApps, JSON.stringify({ ...later, limits }), { mode: 0o640 });
}

/** Throws WRONG_STATE for a pod that was not started for it. Written by rkt itself, so it is not decoded strictly. */
export function readLaterApps(podDir: string): LaterApps {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(new PodFiles(podDir).laterApps, "utf8"));
  } catch (cause) {
    throw new RktError("WRONG_STATE", "Cannot change the pod: it was not started for that", { cause });
  }
  const { limits, ...rest } = value as Omit<LaterApps, "limits"> & {
    limits: { name: string; soft: string; hard: string }[];
  };
  return {
    ...rest,
    limits: limits.map(({ name, soft, hard }) => ({ name, soft: BigInt(soft), hard: BigInt(hard) })),
  };
}

/** The pod's capabilities: systemd-nspawn cannot be asked for more later. In a network of its own an app may be given the right to set it up. */
export function podCapabilities(run: RunArguments, ownNetwork: boolean, defaults: readonly string[]): string[] {
  return run.mutable && ownNetwork ? [...defaults, "CAP_NET_ADMIN"] : [...defaults];
}
