/** `--require`: a pod that would be kept apart by less than was asked for is not made. */

import { existsSync } from "node:fs";
import { loadConfig, measurementSettings } from "../config/mod.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { selinuxEnforcing } from "../host/selinux.ts";
import { missingVirtualization } from "../host/virtualization.ts";
import { asksForNoFilter, type ImageManifest, type PodManifest } from "../spec/appc/mod.ts";
import {
  type IsolationName,
  isolationOf,
  logsDeniedCalls,
  parseDeclaredIsolation,
  STAGE1_ANNOTATION,
} from "../stage1-contract/mod.ts";

export interface IsolationInput {
  readonly stage1: ImageManifest;
  readonly manifest: PodManifest;
  readonly net: string;
  readonly ipc: string;
  readonly privateUsers: boolean;
  readonly engine: Engine;
}

/** What a way to have it is, for those that a flag gives. */
const REMEDIES: Partial<Record<IsolationName, string>> = {
  userns: "give the pod users of its own with --private-users",
  network: "leave --net=host out",
  ipc: "leave --ipc=parent out",
  capabilities: "leave --insecure-options=capabilities out",
  devices: "leave --insecure-options=paths out",
  seccomp: "leave out --insecure-options=seccomp, --seccomp=mode=log, and what makes an app's filter an empty one",
  kvm: "use a host whose processor virtualizes and that has /dev/kvm",
  selinux: "enable SELinux on the host, enforcing, with a policy that has contexts for containers",
  measured: "use a host that has a TPM 2.0",
};

/** Throws UNSUPPORTED, naming everything that would be missing. */
export function requireIsolation(required: readonly IsolationName[], input: IsolationInput): void {
  if (required.length === 0) return;
  const promised = promisedIsolation(input);
  const missing = required.filter((name) => !promised.has(name));
  const [first] = missing;
  if (first === undefined) return;
  const hint =
    first === "measured" || declaredBy(input.stage1).includes(first)
      ? REMEDIES[first]
      : "choose another stage1 with --stage1-name";
  throw new RktError(
    "UNSUPPORTED",
    `Cannot run the pod: with stage1 ${quoted(input.stage1.name)} and these options it would not have ${missing.map((name) => quoted(name)).join(", ")}, which --require asks for`,
    hint === undefined ? {} : { hint },
  );
}

/** What a start would give: declared by the stage1 image, which is trusted for it, and not taken away by an option, the manifest or this host. */
function promisedIsolation(input: IsolationInput): ReadonlySet<IsolationName> {
  const { stage1, manifest, net, ipc, privateUsers, engine } = input;
  const { insecure } = engine;
  const run = {
    net,
    ipc,
    privateUsers: privateUsers ? "own" : undefined,
    disableCapabilitiesRestriction: insecure.capabilities,
    disablePaths: insecure.paths,
    disableSeccomp: insecure.seccomp,
  };
  const unfiltered = manifest.apps.some((app) => logsDeniedCalls(app) || asksForNoFilter(app.app?.isolators ?? []));
  const promised = new Set(isolationOf(declaredBy(stage1), run, unfiltered).keys());
  // By stage0, whatever the stage1: asked for, a start that cannot be measured is none.
  if (hasTpm(engine)) promised.add("measured");
  else promised.delete("measured");
  if (missingVirtualization() !== undefined) promised.delete("kvm");
  if (!selinuxEnforcing()) promised.delete("selinux");
  return promised;
}

/** A TPM behind a socket is tried by the measurement. */
function hasTpm(engine: Engine): boolean {
  const device = /^device:(.*)$/.exec(measurementSettings(loadConfig(engine)).tcti)?.[1];
  return device === undefined || existsSync(device);
}

function declaredBy({ annotations }: ImageManifest): IsolationName[] {
  const declared = annotations.find(({ name }) => name === STAGE1_ANNOTATION.isolation)?.value;
  return parseDeclaredIsolation(declared ?? "");
}
