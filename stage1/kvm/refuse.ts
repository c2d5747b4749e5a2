/** What a pod in a virtual machine cannot have (rkt 1.x's own limits): refused before anything is made. */

import { statSync } from "node:fs";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import type { RunArguments } from "../../src/stage1-contract/mod.ts";
import { isSilenced } from "../common/stdio.ts";

/** Throws UNSUPPORTED. `sockets`: how many rkt was started with. */
export function refuse(run: RunArguments, manifest: PodManifest, sockets: number): void {
  if (process.arch !== "x64") throw unsupported("flavor kvm runs on x86-64 processors only");
  // As given: "host" stands alone.
  if (run.net.split(",").includes("host"))
    throw unsupported("flavor kvm requires private network configuration (try --net)");
  if (run.privateUsers !== undefined) throw unsupported("flag --private-users cannot be used with a kvm stage1");
  if (run.ipc === "parent")
    throw unsupported("Cannot use --ipc=parent: a virtual machine does not share the host's memory");
  if (run.mutable) throw unsupported("Cannot run a pod without apps in a virtual machine: apps cannot be added to it");
  for (const app of manifest.apps) for (const stream of ["stdin", "stdout", "stderr"] as const) isSilenced(app, stream);
  for (const volume of manifest.volumes) {
    const status = volume.kind === "host" ? statSync(volume.source, { throwIfNoEntry: false }) : undefined;
    if (status?.isCharacterDevice() === true || status?.isBlockDevice() === true)
      throw unsupported(
        `Cannot use ${quoted(volume.kind === "host" ? volume.source : "")} for volume ${quoted(volume.name)}: it is a device, and a virtual machine does not have the host's`,
      );
  }
  const activated = manifest.apps.flatMap(({ app }) => app?.ports ?? []).find((port) => port.socketActivated);
  if (sockets > 0 && activated !== undefined)
    throw unsupported(
      `Cannot pass the host's socket on to port ${quoted(activated.name)}: it cannot leave the host's kernel`,
    );
}

function unsupported(text: string): RktError {
  return new RktError("UNSUPPORTED", text);
}
