/** Which volume goes where in an app: the manifest's mounts, and its mount points that a volume of the same name fills (appc spec/pods.md). Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { PodManifest, RuntimeApp, Volume } from "../../src/spec/appc/mod.ts";

export interface AppMount {
  readonly volume: Volume;
  /** Absolute path in the app's root; links in it are resolved inside the root, later. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly recursive: boolean;
}

export interface AppMounts {
  readonly mounts: readonly AppMount[];
  /** Mount points without a volume: the app gets the image's own directory there, made if it is missing, and gone with the pod. */
  readonly unfilled: readonly { readonly name: string; readonly path: string }[];
}

/** Throws INVALID_INPUT for a mount whose volume the pod lacks. `recursiveByDefault`: true for nspawn, false for fly (rkt 1.x). */
export function appMounts(manifest: PodManifest, app: RuntimeApp, recursiveByDefault: boolean): AppMounts {
  const points = app.app?.mountPoints ?? [];
  const mounts: AppMount[] = [];
  const make = (volume: Volume, target: string, pointReadOnly: boolean) =>
    mounts.push({
      volume,
      target,
      readOnly: volume.readOnly ?? pointReadOnly,
      recursive: volume.recursive ?? recursiveByDefault,
    });
  for (const mount of app.mounts) {
    const volume = mount.appVolume ?? manifest.volumes.find((one) => one.name === mount.volume);
    if (volume === undefined) {
      throw new RktError(
        "INVALID_INPUT",
        `dangling mount point ${quoted(mount.path)}: volume ${quoted(mount.volume)} not found`,
      );
    }
    make(volume, mount.path, points.find((point) => point.path === mount.path)?.readOnly ?? false);
  }
  const unfilled: { name: string; path: string }[] = [];
  for (const point of points) {
    if (mounts.some((mount) => mount.target === point.path)) continue;
    const volume = manifest.volumes.find((one) => one.name === point.name);
    if (volume === undefined) unfilled.push({ name: point.name, path: point.path });
    else make(volume, point.path, point.readOnly);
  }
  // Parents before children, whatever the order they were written in.
  mounts.sort((a, b) => a.target.split("/").length - b.target.split("/").length);
  return { mounts, unfilled };
}
