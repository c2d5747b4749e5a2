/** What is resolved for each app before the pod's systemd starts it: who it is, where its program lies, its directories and volumes. */

import { readFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Host, isDirectory, isErrno, O } from "../../src/host/mod.ts";
import { type App, apparmorProfile, type PodManifest, type RuntimeApp, type Volume } from "../../src/spec/appc/mod.ts";
import { appEnvironment } from "../common/app-environment.ts";
import { checkWorkingDirectory, findProgram } from "../common/find-binary.ts";
import { resolveIdentity } from "../common/identity.ts";
import { makeDirectoryInRoot, makeFileInRoot, openInRoot, openRoot, statInRoot } from "../common/in-root.ts";
import type { Stage1Io } from "../common/io.ts";
import { appMounts } from "../common/mounts.ts";
import { supportsNotify } from "../common/notify.ts";
import { type OpenVolume, openVolume, type VolumeUsers } from "../common/volumes.ts";
import type { AppMounts } from "./app-mounts.ts";
import { ioMux } from "./iomux.ts";
import { JOURNAL_SOCKETS } from "./sandbox.ts";
import { appSockets, type InheritedSocket } from "./sockets.ts";
import type { AppUnit } from "./units.ts";

export interface PodApp {
  readonly unit: AppUnit;
  readonly mounts: AppMounts;
  readonly environment: ReadonlyMap<string, string>;
}

/** Directories that the app's file system must have (rkt 1.x, prepare-app); systemd makes the one for its own mounts, and could not under a read-only root. */
const DIRECTORIES: readonly [string, number][] = [
  ["/dev", 0o755],
  ["/proc", 0o755],
  ["/sys", 0o755],
  ["/etc", 0o755],
  ["/run/systemd/incoming", 0o755],
  ["/tmp", 0o1777],
];

/** Opens the volumes (detached, close-on-exec). Throws INVALID_INPUT or NOT_FOUND for what the images or the host lack. */
export function prepareApps(io: Stage1Io, files: PodFiles, manifest: PodManifest, settings: PodSettings): PodApp[] {
  const memory = new Map<string, OpenVolume>();
  const pod = { manifest, ...settings };
  return manifest.apps.map((runtimeApp) => prepareApp(io, files, pod, runtimeApp, memory));
}

export interface PodSettings {
  readonly inherited: readonly InheritedSocket[];
  /** Of a pod with a user namespace. */
  readonly users?: VolumeUsers | undefined;
  /** SELinux context of the pod's files. */
  readonly context?: string | undefined;
  /** The pod has a journal. */
  readonly journal: boolean;
}

export function prepareApp(
  io: Stage1Io,
  files: PodFiles,
  { manifest, inherited, users, context, journal }: PodSettings & { readonly manifest: PodManifest },
  runtimeApp: RuntimeApp,
  memory: Map<string, OpenVolume>,
): PodApp {
  const { host, emit, podDir } = io;
  const { app, name } = runtimeApp;
  if (app === undefined || app.exec.length === 0) {
    throw new RktError(
      "INVALID_INPUT",
      `image ${quoted(runtimeApp.image.name ?? "")} has an empty "exec" (try --exec=BINARY)`,
    );
  }
  requireAppArmor(name, app);
  const { mounts, unfilled } = appMounts(manifest, runtimeApp, true);
  const inProc = mounts.find(({ target }) => target.startsWith("/proc/"));
  if (inProc !== undefined) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot mount volume ${quoted(inProc.volume.name)} at ${quoted(inProc.target)} of app ${quoted(name)}: "/proc" is the kernel's, and nothing can be made in it`,
      { hint: "choose another target" },
    );
  }
  const root = openRoot(host, files.appRootfs(name));
  try {
    for (const [path, mode] of DIRECTORIES) host.close(makeDirectoryInRoot(host, root, path, mode));
    if (journal) for (const path of JOURNAL_SOCKETS) makeFileInRoot(host, root, path);
    linkMtab(host, root);
    const identity = resolveIdentity(host, root, app, users?.ids);
    const environment = appEnvironment(name, app.environment, identity);
    const binary = findProgram(host, root, runtimeApp, mounts);
    const writable = unfilled.filter((point) => makePoint(host, root, point.path)).map((point) => point.path);
    checkWorkingDirectory(host, root, runtimeApp, mounts);
    for (const point of unfilled)
      emit({
        kind: "debug",
        source: "stage1",
        text: `no volume for mount point ${quoted(point.name)} of app ${quoted(name)}: the image's own files are used`,
      });
    const open = (volume: Volume, recursive: boolean) => {
      const before = memory.get(volume.name);
      if (before !== undefined && volume.kind === "tmpfs") return before;
      const opened = openVolume(host, podDir, volume, recursive, { users, context });
      if (volume.kind === "tmpfs") memory.set(volume.name, opened);
      return opened;
    };
    const volumes = mounts.map((mount) => ({
      name: mount.volume.name,
      open: open(mount.volume, mount.recursive),
      target: mount.target,
      readOnly: mount.readOnly,
      shared: mount.volume.kind === "tmpfs",
    }));
    const hasHosts = statInRoot(host, root, "/etc/hosts") !== undefined;
    const { readOnlyRootFs: readOnlyRoot } = runtimeApp;
    return {
      unit: {
        ...{ runtimeApp, app, identity, binary, volumes },
        sockets: appSockets(manifest, runtimeApp, inherited),
        mux: ioMux(manifest, runtimeApp),
        notify: supportsNotify(files, runtimeApp),
      },
      mounts: { name, readOnlyRoot, hasHosts, volumes, writable },
      environment,
    };
  } finally {
    host.close(root);
  }
}

/** A profile that is not enforced is none: better no app than one that seems to be confined. */
function requireAppArmor(name: string, app: App): void {
  const profile = apparmorProfile(app.isolators);
  if (profile === undefined) return;
  let enabled = "N";
  try {
    enabled = readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").trim();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  if (enabled === "Y") return;
  throw new RktError(
    "UNSUPPORTED",
    `Cannot confine app ${quoted(name)} with AppArmor profile ${quoted(profile)}: this host's kernel has no AppArmor, or it is switched off`,
    { hint: 'enable it ("apparmor=1 security=apparmor" on the kernel\'s command line), or leave the profile out' },
  );
}

/** Programs that list mounts read it (rkt 1.x, prepare-app). */
function linkMtab(host: Host, root: number): void {
  const etc = openInRoot(host, root, "/etc", O.PATH | O.DIRECTORY);
  try {
    host.symlinkat("../proc/self/mounts", etc, "mtab");
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  } finally {
    host.close(etc);
  }
}

/** True when there is a directory now; an image may have a file there, which then stays what it is. */
function makePoint(host: Host, root: number, path: string): boolean {
  const status = statInRoot(host, root, path);
  if (status !== undefined) return isDirectory(status);
  host.close(makeDirectoryInRoot(host, root, path));
  return true;
}
