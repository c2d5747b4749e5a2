/** Which volume goes where in an app: the manifest's mounts, and its mount points that a volume of the same name fills (appc spec/pods.md). Pure. */

import { posix } from "node:path";
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
  const make = (volume: Volume, path: string, pointReadOnly: boolean) =>
    mounts.push({
      volume,
      target: cleanTarget(path, app.name),
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
    // Whichever the image's mount point goes by: rkt 1.x looked for the name, but a path that the image wants read-only is one under any name.
    const point =
      points.find((one) => one.name === mount.volume) ??
      points.find((one) => cleanTarget(one.path, app.name) === cleanTarget(mount.path, app.name));
    make(volume, mount.path, point?.readOnly ?? false);
  }
  const unfilled: { name: string; path: string }[] = [];
  for (const point of points) {
    const path = cleanTarget(point.path, app.name);
    if (mounts.some((mount) => mount.target === path)) continue;
    const volume = manifest.volumes.find((one) => one.name === point.name);
    if (volume === undefined) unfilled.push({ name: point.name, path });
    else make(volume, point.path, point.readOnly);
  }
  // Parents before children, whatever the order they were written in.
  mounts.sort((a, b) => a.target.split("/").length - b.target.split("/").length);
  return { mounts, unfilled };
}

/** Absolute, without ".." and doubled slashes: a relative path counts from the root, and ".." stops there (rkt 1.x). */
function cleanTarget(path: string, app: string): string {
  const clean = posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");
  if (clean !== "/") return clean;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot mount a volume at "/" of app ${quoted(app)}: it would hide the whole image`,
  );
}
