/** Which volume lies where in an app: mounts of the pod manifest, then mount points of the image, then implicit empty volumes. Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { PodManifest, Volume } from "../../src/spec/appc/mod.ts";
import type { StageApp } from "./pod.ts";

export interface AppMount {
  /** Names the volume's directory (or file) in the stage1 root, below rkt/volumes; one for each distinct volume. */
  readonly key: string;
  readonly volume: Volume;
  /** Absolute path in the app. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly recursive: boolean;
  /** Made because a mount point had no volume. */
  readonly implicit: boolean;
}

/** The mounts of `app`, parents before what lies below them. Throws INVALID_INPUT for a mount of a volume that does not exist. */
export function appMounts(app: StageApp, manifest: PodManifest, recursiveByDefault: boolean): AppMount[] {
  const mounts = new Map<string, AppMount>();
  const readOnlyPoints = new Set(app.app.mountPoints.filter((point) => point.readOnly).map((point) => clean(point.path)));
  const add = (path: string, key: string, volume: Volume, implicit: boolean): void => {
    const target = clean(path);
    if (target === "/") {
      throw new RktError("INVALID_INPUT", `Cannot mount volume ${quoted(volume.name)} at "/" of app ${quoted(app.name)}`);
    }
    mounts.set(target, {
      key,
      volume,
      target,
      readOnly: volume.readOnly ?? readOnlyPoints.has(target),
      recursive: volume.recursive ?? recursiveByDefault,
      implicit,
    });
  };
  for (const mount of app.runtime.mounts) {
    if (mount.appVolume !== undefined) {
      add(mount.path, `${app.name}@${mount.appVolume.name}`, mount.appVolume, false);
      continue;
    }
    const volume = manifest.volumes.find((one) => one.name === mount.volume);
    if (volume === undefined) {
      throw new RktError("INVALID_INPUT", `no volume for mount ${quoted(mount.volume)}:${quoted(mount.path)} in app ${quoted(app.name)}`);
    }
    add(mount.path, volume.name, volume, false);
  }
  for (const point of app.app.mountPoints) {
    if (mounts.has(clean(point.path))) continue;
    const volume = manifest.volumes.find((one) => one.name === point.name);
    if (volume !== undefined) add(point.path, volume.name, volume, false);
    else add(point.path, `${app.name}-${point.name}`, implicitVolume(point.name), true);
  }
  return [...mounts.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}

function implicitVolume(name: Volume["name"]): Volume {
  return { kind: "empty", name, readOnly: undefined, recursive: undefined, mode: "0755", uid: 0, gid: 0 };
}

function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
