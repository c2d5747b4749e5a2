/** Finding an image in the store: by id, by name, by the reference it was fetched as. */

import type { DataDir } from "../core/data-dir.ts";
import { formatDigest, isImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, Labels, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { shortAppString } from "../spec/appc/app-string.ts";
import { imageIds, modifiedAt, openStore, readRecord, type Store, type StoreOptions } from "./files.ts";
import { type LoadedImage, loadAll, loadImage } from "./load.ts";
import { decodeRef, nameKey, tagKey } from "./record.ts";

export interface FindOptions extends StoreOptions {
  /**
   * Whether the name that an unsigned image gives itself counts. It must not when root runs something by name without `--insecure-options=image`: any archive can
   * call itself "coreos.com/etcd". Commands that only show or remove images set it.
   */
  readonly claimedNames?: boolean;
}

/**
 * The image that `reference` names, or undefined. Files and layouts are never looked up: they are read again each time (rkt 1.x).
 *
 * An image whose `verification` is undefined was seen by an unprivileged fetch only: a caller who is root must verify it (storedDownload, verifyDownload, putImage)
 * before it believes anything about it. Throws what {@link findImageById} throws.
 */
export function findImage(
  dataDir: DataDir,
  reference: ImageReference,
  options: FindOptions = {},
): StoredImage | undefined {
  switch (reference.kind) {
    case "hash":
      return findImageById(dataDir, reference.text, options);
    case "appc":
      return findImageByName(dataDir, reference, options);
    case "docker":
      return (
        findImageByName(dataDir, referenceName(reference) ?? "", options) ??
        (reference.digest && byDigest(openStore(dataDir, options), formatDigest(reference.digest)))
      );
    case "aci-url":
      return findImageByName(dataDir, reference.url, options);
    default:
      return undefined;
  }
}

/** The name under which an image fetched by `reference` is recorded (putImage's `names`); undefined for references that are never looked up. */
export function referenceName(reference: ImageReference): string | undefined {
  if (reference.kind === "aci-url") return reference.url;
  if (reference.kind === "appc") return reference.name;
  if (reference.kind !== "docker") return undefined;
  const version =
    reference.digest === undefined ? `:${reference.tag ?? "latest"}` : `@${formatDigest(reference.digest)}`;
  return `docker://${reference.registry}/${reference.repository}${version}`;
}

const PREFIX = "sha512-";
/** rkt 1.x: at least two digits after the prefix. */
const SHORTEST = PREFIX.length + 2;
const FULL = PREFIX.length + 64;

/**
 * The image whose id begins with `prefix` ("sha512-…"), or whose manifest or archive has a digest that does ("sha256:…", "sha512:…"); undefined when there is none.
 * Throws INVALID_INPUT (`wrong key prefix`, `image ID too short`) and AMBIGUOUS (`ambiguous image ID: "…"`): rkt's words. See {@link noSuchImage}.
 */
export function findImageById(dataDir: DataDir, prefix: string, options: StoreOptions = {}): StoredImage | undefined {
  const store = openStore(dataDir, options);
  if (/^(sha256|sha512):/.test(prefix)) return byDigest(store, prefix);
  if (!prefix.startsWith(PREFIX)) throw new RktError("INVALID_INPUT", "wrong key prefix");
  if (prefix.length < SHORTEST) throw new RktError("INVALID_INPUT", "image ID too short");
  // Longer ones are cut: the whole SHA-512 names the same image.
  const key = prefix.slice(0, FULL);
  if (isImageId(key)) return loadImage(store, key);
  const id = only(
    imageIds(store).filter((candidate) => candidate.startsWith(key)),
    key,
  );
  return id === undefined ? undefined : loadImage(store, id);
}

/** rkt's words for an id that no image has. */
export function noSuchImage(): RktError {
  return new RktError("NOT_FOUND", "no image IDs found");
}

/** `prefix`: an algorithm, a colon and at least two digits. */
function byDigest(store: Store, prefix: string): LoadedImage | undefined {
  if (prefix.length < SHORTEST) throw new RktError("INVALID_INPUT", "image ID too short");
  return only(
    loadAll(store).filter((image) => contentDigest(image)?.startsWith(prefix)),
    prefix,
  );
}

function contentDigest({ manifest, layers: [first] }: StoredImage): string | undefined {
  const blob = manifest ?? first;
  return blob === undefined ? undefined : formatDigest(blob.digest);
}

function only<T>(found: readonly T[], prefix: string): T | undefined {
  if (found.length > 1) throw new RktError("AMBIGUOUS", `ambiguous image ID: ${quoted(prefix)}`);
  return found[0];
}

/**
 * By text: the image last fetched as that reference, or given it as a name. By name and labels: the image that was given that name; else the one that has them all; without a "version" label those fetched as latest come first;
 * then the one imported last (rkt 1.x, §GetACI). For a caller with verified records these count first, and then only what can be verified: signed ACIs.
 */
export function findImageByName(
  dataDir: DataDir,
  query: string | { readonly name: string; readonly labels: Labels },
  options: FindOptions = {},
): StoredImage | undefined {
  const store = openStore(dataDir, options);
  if (typeof query === "string") return byReference(store, nameKey(query));
  const tagged = byTag(store, query);
  if (tagged !== undefined) return tagged;
  const matches = loadAll(store).filter((image) => answersTo(image, query.name, query.labels));
  if (!store.believes || options.claimedNames === true) return preferred(matches, query.labels);
  const believed = matches.filter((image) => isNameBelieved(image, query.name));
  return preferred(believed, query.labels) ?? preferred(matches.filter(canBeVerified(store)), query.labels);
}

/** An image that was given this name (see tag-image.ts), and has the other labels. */
function byTag(store: Store, query: { readonly name: string; readonly labels: Labels }): LoadedImage | undefined {
  const image = byReference(store, tagKey(shortAppString(query)));
  const others = query.labels.filter(({ name }) => name !== "version");
  return image !== undefined && hasLabels(image, others) ? image : undefined;
}

function byReference(store: Store, key: string): LoadedImage | undefined {
  const id = readRecord(store, store.believes ? store.dataDir.verifiedRef(key) : store.dataDir.ref(key), decodeRef);
  return id === undefined ? undefined : loadImage(store, id);
}

function answersTo(image: LoadedImage, name: string, labels: Labels): boolean {
  return image.name === name && hasLabels(image, labels);
}

function hasLabels(image: LoadedImage, labels: Labels): boolean {
  return labels.every((wanted) => image.labels.some((has) => has.name === wanted.name && has.value === wanted.value));
}

function preferred(images: readonly LoadedImage[], labels: Labels): LoadedImage | undefined {
  const versioned = labels.some(({ name }) => name === "version");
  const better = (a: LoadedImage, b: LoadedImage): LoadedImage => {
    if (!versioned && a.latest !== b.latest) return a.latest ? a : b;
    return b.importTime > a.importTime ? b : a;
  };
  return images.length === 0 ? undefined : images.reduce(better);
}

/**
 * A signature covers the name of an App Container image, and an OCI image was fetched by its name unless the verdict says that the name is a claim. Any other image
 * answers to a name only when it was fetched by that name, with the operator's word that this is right.
 */
function isNameBelieved({ verification, refs }: LoadedImage, name: string): boolean {
  if (verification === undefined) return false;
  const isClaim = verification.kind === "insecure" || ("nameClaimed" in verification && verification.nameClaimed);
  return !isClaim || refs.includes(nameKey(name));
}

/** An image that only an unprivileged fetch has seen, with its signature kept. */
function canBeVerified(store: Store): (image: LoadedImage) => boolean {
  return ({ id, verification }) =>
    verification === undefined && modifiedAt(store.dataDir.imageSignature(id)) !== undefined;
}
