/** Which stage1 image a pod gets (rkt 1.x §"Stage1 image lookup"): a flag, else the configuration, else the default of this build. */

import { existsSync } from "node:fs";
import { basename, isAbsolute, resolve } from "node:path";
import { loadConfig } from "../config/mod.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, RenderedTree, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { type ImageManifest, parseAppString, parseImageManifest } from "../spec/appc/mod.ts";
import {
  DEFAULT_FLAVOR,
  type Flavor,
  flavorOfFileName,
  flavorOfImageName,
  NEWEST_INTERFACE,
  OLDEST_INTERFACE,
  STAGE1_ANNOTATION,
} from "../stage1-contract/mod.ts";
import { findImage, findImageById, putImage } from "../store/mod.ts";
import { builtinFlavor, builtinImageFile, builtinImageId, stage1ImageFile } from "./builtin-stage1.ts";
import { obtainImage, type PullPolicy } from "./obtain-image.ts";
import { openDataDir } from "./open-data-dir.ts";
import { renderStored } from "./render-stored.ts";

/** What `--stage1-*` said; at most one is set. */
export type Stage1Choice =
  | { readonly kind: "default" }
  | { readonly kind: "url" | "path" | "name" | "hash" | "from-dir"; readonly value: string };

export interface Stage1 {
  readonly tree: RenderedTree;
  readonly manifest: ImageManifest;
  readonly interfaceVersion: number;
  /** Set when the image is the one built with this executable: its entrypoints run in this process. */
  readonly builtin: Flavor | undefined;
}

/** Finds (or imports, or fetches) the image and renders it. Throws NOT_FOUND, NOT_TRUSTED, INVALID_INPUT (an image that is no stage1). */
export async function obtainStage1(engine: Engine, choice: Stage1Choice, pullPolicy: PullPolicy): Promise<Stage1> {
  await openDataDir(engine);
  const stored = await chosenImage(engine, choice, pullPolicy);
  const tree = await renderStored(engine, stored);
  return stage1OfTree(tree);
}

/** The stage1 that a rendered tree is. Throws INVALID_INPUT when the image is none. */
export function stage1OfTree(tree: RenderedTree): Stage1 {
  const manifest = parseImageManifest(tree.manifest);
  return { tree, manifest, interfaceVersion: interfaceVersion(manifest), builtin: builtinFlavor(tree.image) };
}

async function chosenImage(engine: Engine, choice: Stage1Choice, pullPolicy: PullPolicy): Promise<StoredImage> {
  switch (choice.kind) {
    case "default":
      return defaultImage(engine, pullPolicy);
    case "hash":
      return obtainImage(engine, { kind: "hash", text: choice.value }, { pullPolicy: "never", signature: undefined });
    case "name": {
      const flavor = flavorOfImageName(choice.value.replace(/[:,].*$/, ""));
      if (flavor !== undefined) return builtinImage(engine, flavor);
      return obtainImage(
        engine,
        { kind: "appc", ...parseAppString(choice.value) },
        { pullPolicy, signature: undefined },
      );
    }
    case "from-dir":
      return imageFromDirectory(engine, choice.value);
    case "path":
      return imageFile(engine, resolve(choice.value));
    case "url":
      return imageFromUrl(engine, choice.value, pullPolicy);
  }
}

async function defaultImage(engine: Engine, pullPolicy: PullPolicy): Promise<StoredImage> {
  const configured = loadConfig(engine).stage1;
  if (configured.name === undefined && configured.location === undefined) return builtinImage(engine, DEFAULT_FLAVOR);
  if (configured.name !== undefined) {
    const flavor = flavorOfImageName(configured.name);
    if (flavor !== undefined && configured.location === undefined) return builtinImage(engine, flavor);
    const labels = configured.version === undefined ? [] : [{ name: "version", value: configured.version }];
    const stored = findImage(engine.dataDir, { kind: "appc", name: configured.name, labels });
    if (stored?.verification !== undefined) return stored;
  }
  if (configured.location === undefined) {
    throw new RktError(
      "NOT_FOUND",
      `Cannot find the configured stage1 image ${quoted(configured.name ?? "")}: it is not in the store, and no location is configured`,
    );
  }
  return isAbsolute(configured.location)
    ? imageAtLocation(engine, configured.location)
    : imageFromUrl(engine, configured.location, pullPolicy);
}

/** Where the file is not there, one of that name which was installed with rkt will do: an installation may have been moved (rkt 1.x). */
function imageAtLocation(engine: Engine, path: string): Promise<StoredImage> {
  const file = basename(path);
  const isInstalled = () =>
    flavorOfFileName(file) !== undefined || stage1ImageFile(file, loadConfig(engine).paths.stage1Images) !== undefined;
  return !existsSync(path) && isInstalled() ? imageFromDirectory(engine, file) : imageFile(engine, path);
}

/** An image of this build: from the store by its id, else imported from the file of the installation. */
async function builtinImage(engine: Engine, flavor: Flavor): Promise<StoredImage> {
  const id = builtinImageId(flavor);
  const stored = id === undefined ? undefined : findImageById(engine.dataDir, id);
  if (stored?.verification !== undefined) return stored;
  const file = builtinImageFile(flavor, loadConfig(engine).paths.stage1Images);
  if (file === undefined) {
    throw new RktError(
      "NOT_FOUND",
      `Cannot find the stage1 image "stage1-${flavor}.aci": it is neither beside the rkt executable nor in "/usr/lib/rkt/stage1-images"`,
      {
        hint: "install rkt with its stage1 images, or name one with --stage1-path",
      },
    );
  }
  return importInstalledFile(engine, file);
}

async function imageFromDirectory(engine: Engine, file: string): Promise<StoredImage> {
  // Only a file of the directory itself: "../x.aci" would be trusted without a signature from anywhere.
  if (file.includes("/"))
    throw new RktError("USAGE", `Cannot use ${quoted(file)} for --stage1-from-dir: expected a file name`);
  const flavor = flavorOfFileName(file);
  if (flavor !== undefined) return builtinImage(engine, flavor);
  const path = stage1ImageFile(file, loadConfig(engine).paths.stage1Images);
  if (path === undefined)
    throw new RktError("NOT_FOUND", `Cannot find the stage1 image ${quoted(file)} in the stage1 images directory`);
  return importInstalledFile(engine, path);
}

/** A path given by the operator: trusted only where it is part of the installation, else it needs a signature like any image. */
async function imageFile(engine: Engine, path: string): Promise<StoredImage> {
  const installed = stage1ImageFile(basename(path), loadConfig(engine).paths.stage1Images);
  if (installed !== undefined && resolve(installed) === resolve(path)) return importInstalledFile(engine, path);
  return obtainImage(engine, { kind: "aci-file", path }, { pullPolicy: "new", signature: undefined });
}

async function imageFromUrl(engine: Engine, url: string, pullPolicy: PullPolicy): Promise<StoredImage> {
  const { parseImageReference } = await import("../fetch/mod.ts");
  const reference: ImageReference = parseImageReference(url, process.cwd());
  return obtainImage(engine, reference, { pullPolicy, signature: undefined });
}

/** Imports a file of the installation: trusted because of where it lies, like the executable itself. Its content is still unpacked by the confined worker. */
async function importInstalledFile(engine: Engine, path: string): Promise<StoredImage> {
  const { fetchImage } = await import("../fetch/mod.ts");
  const download = await fetchImage(
    { kind: "aci-file", path },
    {
      dataDir: engine.dataDir,
      insecure: { ...engine.insecure, image: true },
      config: loadConfig(engine),
      signature: undefined,
      emit: engine.emit,
    },
  );
  return putImage(engine.dataDir, { download, verification: { kind: "builtin" } }, []);
}

function interfaceVersion(manifest: ImageManifest): number {
  const annotation = (name: string) => manifest.annotations.find((pair) => pair.name === name)?.value;
  if (annotation(STAGE1_ANNOTATION.run) === undefined) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use image ${quoted(manifest.name)} as stage1: it lacks the annotation ${quoted(STAGE1_ANNOTATION.run)}`,
    );
  }
  const text = annotation(STAGE1_ANNOTATION.interfaceVersion) ?? String(OLDEST_INTERFACE);
  const version = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
  if (version < OLDEST_INTERFACE)
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use interface version ${quoted(text)} of stage1 image ${quoted(manifest.name)}: expected a number`,
    );
  return Math.min(version, NEWEST_INTERFACE);
}
