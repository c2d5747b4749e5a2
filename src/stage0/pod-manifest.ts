/** The pod manifest that a command line means (rkt 1.x: stage0/run.go). Pure. */

import { posix } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { RKT_VERSION } from "../core/version.ts";
import type {
  AcName,
  App,
  ExposedPort,
  ImageManifest,
  Isolator,
  Mount,
  NameValue,
  PodManifest,
  RuntimeApp,
  Volume,
} from "../spec/appc/mod.ts";
import {
  BLANK_APP,
  capabilitiesIsolator,
  ISOLATOR,
  isAcName,
  parseAcName,
  replaceIsolators,
  sanitizeAcName,
} from "../spec/appc/mod.ts";
import type { AppOptions } from "./app-options.ts";
import { mergeEnvironment, type PodEnvironment } from "./environment.ts";

/** One app: which image, and what the command line changes in it. */
export interface RequestedApp {
  /** `sha512-…`, full. */
  readonly imageId: string;
  readonly imageManifest: ImageManifest;
  readonly options: AppOptions;
}

export interface PodOptions {
  readonly volumes: readonly Volume[];
  /** `--mount` before the first image: for every app. */
  readonly mounts: readonly Mount[];
  readonly ports: readonly ExposedPort[];
  readonly environment: PodEnvironment;
  readonly annotations: readonly NameValue[];
  readonly userAnnotations: readonly NameValue[];
  readonly userLabels: readonly NameValue[];
  /** Limits of the whole pod, and its kernel settings. */
  readonly isolators: readonly Isolator[];
}

const MUTABLE_ANNOTATION = "coreos.com/rkt/stage1/mutable";

/** True for a pod of `rkt app sandbox`: apps come and go while it runs. */
export function isMutable({ annotations }: Pick<PodManifest, "annotations">): boolean {
  return annotations.some(({ name, value }) => name === MUTABLE_ANNOTATION && value === "true");
}

/** The manifest of a pod without apps yet. */
export function buildSandboxManifest(
  pod: Pick<PodOptions, "ports" | "annotations" | "userAnnotations" | "userLabels">,
): PodManifest {
  const { ports, userAnnotations, userLabels } = pod;
  const annotations = [{ name: MUTABLE_ANNOTATION, value: "true" }, ...pod.annotations];
  return {
    ...{ acVersion: RKT_VERSION, apps: [], volumes: [], isolators: [] },
    annotations,
    ports,
    userAnnotations,
    userLabels,
  };
}

/** The manifest with one app more. Its arguments, if any, replace the image's. Throws USAGE in rkt's words. */
export function withApp(manifest: PodManifest, request: RequestedApp): { manifest: PodManifest; app: RuntimeApp } {
  const { options, imageManifest } = request;
  const program = options.exec ?? imageManifest.app?.exec[0];
  const replaced = options.args.length === 0 ? options : { ...options, exec: program };
  const environment = { inherited: [], fromFiles: [], set: [] };
  const app = buildRuntimeApp({ ...request, options: replaced }, { mounts: [], environment });
  if (manifest.apps.some(({ name }) => name === app.name))
    throw new RktError("CONFLICT", `error: multiple apps with name ${app.name}`, {
      hint: "give it another name with --name",
    });
  checkMounts([app], manifest.volumes);
  return { manifest: { ...manifest, apps: [...manifest.apps, app] }, app };
}

/** Builds the manifest. Throws USAGE or INVALID_INPUT with rkt's words: two apps of one name, an image without a command, a dangling mount. */
export function buildPodManifest(requested: readonly RequestedApp[], pod: PodOptions): PodManifest {
  const apps: RuntimeApp[] = [];
  for (const request of requested) {
    const app = buildRuntimeApp(request, pod);
    if (apps.some((other) => other.name === app.name)) {
      throw new RktError("USAGE", `error: multiple apps with name ${app.name}`, {
        hint: "give one of them another name with --name",
      });
    }
    apps.push(app);
  }
  checkMounts(apps, pod.volumes);
  return {
    acVersion: RKT_VERSION,
    apps,
    volumes: pod.volumes,
    isolators: pod.isolators,
    annotations: [{ name: MUTABLE_ANNOTATION, value: "false" }, ...pod.annotations],
    ports: pod.ports,
    userAnnotations: pod.userAnnotations,
    userLabels: pod.userLabels,
  };
}

function buildRuntimeApp(request: RequestedApp, pod: Pick<PodOptions, "mounts" | "environment">): RuntimeApp {
  const { imageManifest: image, options } = request;
  return {
    name: options.name === undefined ? nameFromImage(image.name) : appName(options.name),
    image: { name: image.name, id: request.imageId, labels: image.labels },
    app: buildApp(request, pod.environment),
    readOnlyRootFs: options.readOnlyRootFs ?? false,
    mounts: mergeMounts(options.mounts, pod.mounts),
    annotations: options.annotations,
  };
}

/** The last component of the image's name: "registry-1.docker.io/library/busybox" → "busybox". */
function nameFromImage(imageName: string): AcName {
  return sanitizeAcName(imageName.slice(imageName.lastIndexOf("/") + 1));
}

function appName(text: string): AcName {
  if (!isAcName(text))
    throw new RktError("USAGE", `Cannot use ${quoted(text)} for --name: expected lower-case letters, digits and "-"`);
  return parseAcName(text);
}

function buildApp(request: RequestedApp, environment: PodEnvironment): App {
  const { imageManifest: image, options } = request;
  if (image.app === undefined && options.exec === undefined) {
    throw new RktError(
      "USAGE",
      `error: image ${request.imageId} has no app section and --exec argument is not provided`,
    );
  }
  const base: App = image.app ?? BLANK_APP;
  return {
    ...base,
    exec: [...(options.exec === undefined ? base.exec : [options.exec]), ...options.args],
    user: options.user ?? base.user,
    group: options.group ?? base.group,
    supplementaryGids: options.supplementaryGids ?? base.supplementaryGids,
    workingDirectory: options.workingDirectory ?? base.workingDirectory,
    environment: mergeEnvironment(environment, base.environment, options.environment),
    isolators: mergeIsolators(base.isolators, options),
    userAnnotations: overlayByName(base.userAnnotations, options.userAnnotations),
    userLabels: overlayByName(base.userLabels, options.userLabels),
  };
}

function overlayByName(base: readonly NameValue[], over: readonly NameValue[]): NameValue[] {
  return [...new Map([...base, ...over].map((pair) => [pair.name, pair.value]))].map(([name, value]) => ({
    name,
    value,
  }));
}

/** The command line replaces the image's isolator of the same kind; capabilities and seccomp are replaced as a set. */
function mergeIsolators(image: readonly Isolator[], options: AppOptions): Isolator[] {
  if (options.capsRetain !== undefined && options.capsRemove !== undefined) {
    throw new RktError("USAGE", "error: cannot use both --caps-retain and --caps-remove on the same image");
  }
  const { capsRetain, capsRemove, seccomp } = options;
  let merged: Isolator[] = [...image];
  const put = (isolator: Isolator, ...names: string[]) => {
    merged = replaceIsolators(merged, [isolator.name, ...names], isolator);
  };
  for (const isolator of options.isolators) put(isolator);
  if (capsRetain !== undefined) put(capabilitiesIsolator("retain", capsRetain), ISOLATOR.capsRemove);
  if (capsRemove !== undefined) put(capabilitiesIsolator("remove", capsRemove), ISOLATOR.capsRetain);
  if (seccomp !== undefined) put(seccomp, ISOLATOR.seccompRetain, ISOLATOR.seccompRemove, ISOLATOR.seccompProfile);
  return merged;
}

/** Of mounts at one path the first counts, the app's own before the pod's (rkt 1.x). */
function mergeMounts(own: readonly Mount[], podWide: readonly Mount[]): Mount[] {
  const clean = (path: string) => posix.normalize(`/${path}`).replace(/\/$/, "");
  const byPath = new Map<string, Mount>();
  for (const mount of [...own, ...podWide]) {
    const path = clean(mount.path);
    if (!byPath.has(path)) byPath.set(path, mount);
  }
  return [...byPath.values()];
}

/** Throws USAGE in rkt's words for a mount whose volume the pod lacks. */
export function checkMounts(apps: readonly Pick<RuntimeApp, "mounts">[], volumes: readonly Volume[]): void {
  const known = new Set(volumes.map((volume) => volume.name));
  for (const app of apps) {
    for (const mount of app.mounts) {
      if (mount.appVolume === undefined && !known.has(mount.volume)) {
        throw new RktError(
          "USAGE",
          `dangling mount point ${quoted(mount.path)}: volume ${quoted(mount.volume)} not found`,
          {
            hint: `declare it with --volume=${mount.volume},kind=host,source=/path or --volume=${mount.volume},kind=empty`,
          },
        );
      }
    }
  }
}
