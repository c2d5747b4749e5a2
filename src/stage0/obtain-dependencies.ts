/**
 * What an App Container image depends on (appc spec/aci.md, "Dependency Matching"): found in the store or fetched, verified and stored like any image. src/render
 * puts the images together; this module only sees to it that they are there.
 */

import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, Labels, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import {
  appcArch,
  appcOs,
  type Dependency,
  formatAppString,
  labelValue,
  parseImageManifest,
  withHostLabels,
} from "../spec/appc/mod.ts";
import { imageManifestText } from "../store/mod.ts";
import { fetchVerifyStore, findTrusted, notInStore, type PullPolicy } from "./obtain-image.ts";

/** Honest images have a base or two below them. */
const DEEPEST = 32;
/** As many images as a tree may have layers. */
const MOST_IMAGES = 500;

/**
 * Sees to it that the store has everything that `image` depends on, directly or not, each by the pull policy. Throws INVALID_INPUT for an image that depends on itself,
 * UNSUPPORTED for too many, DIGEST_MISMATCH for one that is not the image asked for, NOT_FOUND, NOT_TRUSTED and what a fetch throws.
 */
export async function obtainDependencies(engine: Engine, image: StoredImage, pullPolicy: PullPolicy): Promise<void> {
  const found = new Map<string, Promise<StoredImage>>();
  const visit = async (dependent: StoredImage, above: readonly StoredImage[]): Promise<void> => {
    const chain = [...above, dependent];
    for (const wanted of parseImageManifest(imageManifestText(engine.dataDir, dependent)).dependencies) {
      const key = JSON.stringify(wanted);
      if (!found.has(key) && found.size >= MOST_IMAGES) throw tooMany(image, `more than ${MOST_IMAGES} dependencies`);
      const isNew = !found.has(key);
      const obtained = found.get(key) ?? obtainDependency(engine, wanted, pullPolicy);
      found.set(key, obtained);
      const dependency = await obtained;
      if (chain.some(({ id }) => id === dependency.id)) {
        throw new RktError("INVALID_INPUT", `Cannot use image ${image.id}: image ${dependency.id} depends on itself`);
      }
      if (chain.length >= DEEPEST) throw tooMany(image, `dependencies more than ${DEEPEST} levels deep`);
      if (isNew && dependency.format === "aci") await visit(dependency, chain);
    }
  };
  await visit(image, []);
}

function tooMany(image: StoredImage, what: string): RktError {
  return new RktError("UNSUPPORTED", `Cannot use image ${image.id}: it has ${what}`);
}

/**
 * One dependency. Its labels, and its id where the dependency names one, are what the image must have; without os and arch among them, the image must not be for
 * another machine.
 */
export async function obtainDependency(
  engine: Engine,
  wanted: Dependency,
  pullPolicy: PullPolicy,
): Promise<StoredImage> {
  const reference = { kind: "appc", name: wanted.imageName, labels: wanted.labels } as const;
  if (pullPolicy !== "update") {
    const stored = await findStored(engine, wanted, reference);
    if (stored !== undefined) return stored;
    if (pullPolicy === "never") throw notInStore(reference);
  }
  const text = `fetching dependency ${formatAppString({ name: wanted.imageName, labels: wanted.labels })}`;
  engine.emit({ kind: "debug", source: "image", text });
  const fetched = await fetchVerifyStore(engine, reference, { pullPolicy, signature: undefined });
  const problem = misfit(fetched, wanted);
  if (problem === undefined) return fetched;
  throw new RktError("DIGEST_MISMATCH", `Cannot use dependency ${quoted(wanted.imageName)}: ${problem}`);
}

async function findStored(
  engine: Engine,
  wanted: Dependency,
  reference: Extract<ImageReference, { kind: "appc" }>,
): Promise<StoredImage | undefined> {
  const id = usableId(wanted);
  const ways: ImageReference[] = [{ ...reference, labels: withHostLabels(reference.labels) }, reference];
  if (id !== undefined) ways.unshift({ kind: "hash", text: id });
  for (const way of ways) {
    // One that is there, but not trusted, may come with its signature from where it is published.
    const image = await findTrusted(engine, way).catch((error: unknown) => {
      if (error instanceof RktError && error.code !== "INTERNAL") return undefined;
      throw error;
    });
    if (image !== undefined && misfit(image, wanted) === undefined) return image;
  }
  return undefined;
}

/** Why `image` is not what a dependency asks for; undefined when it is. */
function misfit(image: StoredImage, wanted: Dependency): string | undefined {
  const id = usableId(wanted);
  if (id !== undefined && !id.startsWith(image.id) && !image.id.startsWith(id)) {
    return `the image is ${image.id}, expected ${id}`;
  }
  if (image.name !== wanted.imageName) return `the image is called ${quoted(image.name)}`;
  const host: Labels = [
    { name: "os", value: appcOs() },
    { name: "arch", value: appcArch() },
  ];
  for (const { name, value } of [...host.filter((label) => isOpen(image, wanted, label.name)), ...wanted.labels]) {
    const has = labelValue(image.labels, name);
    if (has !== value) return `its label ${quoted(name)} is ${quoted(has ?? "")}, expected ${quoted(value)}`;
  }
  return undefined;
}

/** A label that the dependency leaves open and the image has. */
function isOpen(image: StoredImage, wanted: Dependency, name: string): boolean {
  return labelValue(wanted.labels, name) === undefined && labelValue(image.labels, name) !== undefined;
}

/** The specification's own example is "sha512-…" with dots: that names no image, and says nothing. */
function usableId({ imageId }: Dependency): string | undefined {
  return imageId !== undefined && /^sha512-[0-9a-f]{8,128}$/.test(imageId) ? imageId : undefined;
}
