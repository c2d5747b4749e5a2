/** The pod as stage0 left it: its manifest, and for each app what the image says where the manifest is silent. */

import { readFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import {
  type App,
  type ImageManifest,
  type NameValue,
  type PodManifest,
  parseImageManifest,
  parsePodManifest,
  type RuntimeApp,
} from "../../src/spec/appc/mod.ts";

export interface StageApp {
  /** An AC name: fit for paths and unit names. */
  readonly name: string;
  readonly imageName: string;
  readonly imageId: string;
  readonly app: App;
  readonly runtime: RuntimeApp;
  readonly annotations: readonly NameValue[];
  readonly imageAnnotations: readonly NameValue[];
  /** The image is a converted one (OCI): its implicit volumes begin with the image's content, and a group named like the user may be missing. */
  readonly converted: boolean;
}

export interface StagePod {
  readonly manifest: PodManifest;
  readonly apps: readonly StageApp[];
}

/** Reads the pod's directory. Throws INVALID_INPUT for what is not a manifest, and for an app that neither manifest nor image describes. */
export function readPod(files: PodFiles): StagePod {
  const manifest = parsePodManifest(readFileSync(files.manifest, "utf8"));
  const apps = manifest.apps.map((runtime) => {
    const image = parseImageManifest(readFileSync(files.appImageManifest(runtime.name), "utf8"));
    return stageApp(runtime, image);
  });
  return { manifest, apps };
}

/** Pure part of {@link readPod}. */
export function stageApp(runtime: RuntimeApp, image: ImageManifest): StageApp {
  const app = runtime.app ?? image.app;
  if (app === undefined || app.exec.length === 0) {
    throw new RktError("INVALID_INPUT", `image ${quoted(image.name)} has an empty "exec" (try --exec=BINARY)`);
  }
  return {
    name: runtime.name,
    imageName: runtime.image.name ?? image.name,
    imageId: runtime.image.id,
    app,
    runtime,
    annotations: runtime.annotations,
    imageAnnotations: image.annotations,
    converted: image.annotations.some((annotation) => annotation.name.startsWith("appc.io/docker/")),
  };
}
