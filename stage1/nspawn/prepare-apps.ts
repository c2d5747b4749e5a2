/** What is resolved for each app before the pod's systemd starts it: who it is, where its program lies, its directories and volumes. */

import type { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { PodManifest, RuntimeApp } from "../../src/spec/appc/mod.ts";
import { appEnvironment, DEFAULT_PATH } from "../common/app-environment.ts";
import { findBinary } from "../common/find-binary.ts";
import { resolveIdentity } from "../common/identity.ts";
import { makeDirectoryInRoot, openRoot, statInRoot } from "../common/in-root.ts";
import type { Stage1Io } from "../common/io.ts";
import { appMounts } from "../common/mounts.ts";
import { type OpenVolume, openVolume } from "../common/volumes.ts";
import type { AppUnit } from "./units.ts";

export interface PodApps {
  readonly apps: readonly {
    readonly unit: AppUnit;
    readonly environment: ReadonlyMap<string, string>;
    readonly hasHosts: boolean;
  }[];
  /** One per mount of an app: the detached clone, and its name under /rkt/volumes. */
  readonly volumes: readonly { readonly name: string; readonly open: OpenVolume; readonly readOnly: boolean }[];
}

/** Directories that the app's file system must have (rkt 1.x, prepare-app). */
const DIRECTORIES: readonly [string, number][] = [
  ["/dev", 0o755],
  ["/proc", 0o755],
  ["/sys", 0o755],
  ["/etc", 0o755],
  ["/run", 0o755],
  ["/tmp", 0o1777],
];

export function prepareApps(io: Stage1Io, files: PodFiles, manifest: PodManifest): PodApps {
  const volumes: PodApps["volumes"][number][] = [];
  const apps = manifest.apps.map((runtimeApp) => prepareApp(io, files, manifest, runtimeApp, volumes));
  return { apps, volumes };
}

function prepareApp(
  io: Stage1Io,
  files: PodFiles,
  manifest: PodManifest,
  runtimeApp: RuntimeApp,
  volumes: PodApps["volumes"][number][],
): PodApps["apps"][number] {
  const { host, emit, podDir } = io;
  const { app, name } = runtimeApp;
  if (app === undefined || app.exec.length === 0) {
    throw new RktError(
      "INVALID_INPUT",
      `image ${quoted(runtimeApp.image.name ?? "")} has an empty "exec" (try --exec=BINARY)`,
    );
  }
  const root = openRoot(host, files.appRootfs(name));
  try {
    for (const [path, mode] of DIRECTORIES) {
      const fd = makeDirectoryInRoot(host, root, path, mode);
      host.close(fd);
    }
    const identity = resolveIdentity(host, root, app);
    const environment = appEnvironment(name, app.environment, identity);
    const binary = findBinary(
      host,
      root,
      app.exec[0] ?? "",
      environment.get("PATH") ?? DEFAULT_PATH,
      app.workingDirectory,
    );
    const { mounts, unfilled } = appMounts(manifest, runtimeApp, true);
    for (const point of unfilled) {
      emit({
        kind: "debug",
        source: "stage1",
        text: `no volume for mount point ${quoted(point.name)} of app ${quoted(name)}: the image's own directory is used`,
      });
      host.close(makeDirectoryInRoot(host, root, point.path));
    }
    const binds = mounts.map((mount, index) => {
      const place = `${name}-${index}`;
      volumes.push({
        name: place,
        open: openVolume(host, podDir, mount.volume, mount.recursive),
        readOnly: mount.readOnly,
      });
      return { source: `/rkt/volumes/${place}`, target: mount.target, readOnly: mount.readOnly };
    });
    const writable = [
      ...binds.filter((bind) => !bind.readOnly).map((bind) => bind.target),
      ...unfilled.map((point) => point.path),
    ];
    const hasHosts = statInRoot(host, root, "/etc/hosts") !== undefined;
    return { unit: { runtimeApp, app, identity, binary, binds, writable }, environment, hasHosts };
  } finally {
    host.close(root);
  }
}
