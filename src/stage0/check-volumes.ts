/** What a pod needs of the host is looked at before the pod is made: a mistyped path then leaves nothing behind. */

import { existsSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { PodManifest } from "../spec/appc/mod.ts";

/** Throws NOT_FOUND for a host volume without a source. stage1 looks again, when it opens it. */
export function checkVolumeSources(manifest: PodManifest): void {
  for (const volume of [
    ...manifest.volumes,
    ...manifest.apps.flatMap((app) => app.mounts.flatMap((mount) => mount.appVolume ?? [])),
  ]) {
    if (volume.kind === "host" && !existsSync(volume.source)) {
      throw new RktError(
        "NOT_FOUND",
        `Cannot use ${quoted(volume.source)} for volume ${quoted(volume.name)}: no such file or directory`,
      );
    }
  }
}
