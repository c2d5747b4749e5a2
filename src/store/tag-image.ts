/**
 * Further names of stored images. A name's record says which image it stands for; one that somebody gave also says what it reads, so that it can be listed. A name is no
 * claim about who made the image: what root believes of names is in `cas/verified/refs`, which only root's own tags reach.
 */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { removeFileBeneath, replaceFileBeneath } from "../host/beneath.ts";
import { shortAppString } from "../spec/appc/app-string.ts";
import { inCas, namesIn, openStore, readRecord, type Store, type StoreOptions } from "./files.ts";
import { referenceName } from "./find-image.ts";
import { loadImage, loadVerified } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { decodeRef, decodeTag, encodeRecord, encodeRef, type ImageRecord, nameKey, tagKey } from "./record.ts";

export interface Tag {
  /** "docker://registry-1.docker.io/library/app:v1", "example.com/app:v1". */
  readonly name: string;
  readonly id: ImageId;
}

/** What a reference reads as a tag; undefined for one that no image can be given (files, URLs, digests, labels besides the version). */
export function tagName(reference: ImageReference): string | undefined {
  if (reference.kind === "docker") return reference.digest === undefined ? referenceName(reference) : undefined;
  return reference.kind === "appc" ? shortAppString(reference) : undefined;
}

/**
 * Makes `name` (see {@link tagName}) stand for the image, also where it stood for another one. Under the store's lock, shared. Throws NOT_FOUND when the image was removed
 * meanwhile.
 */
export function tagImage(dataDir: DataDir, image: StoredImage, name: string, options: StoreOptions = {}): void {
  const store = openStore(dataDir, options);
  const key = keyOf(name);
  withStoreLock(store, "shared", () => {
    const loaded = loadImage(store, image.id);
    if (loaded === undefined)
      throw new RktError("NOT_FOUND", `Cannot tag image ${image.id}: it is not in the store any more`);
    for (const path of refFiles(store, key)) write(store, path, encodeRef(image.id, name));
    rewrite(store, loaded, [...new Set([...loaded.refs, key])]);
  });
}

/** Takes the name away; the image stays. Under the store's lock, shared. Throws NOT_FOUND when no image was given this name. */
export function untagImage(dataDir: DataDir, name: string, options: StoreOptions = {}): void {
  const store = openStore(dataDir, options);
  const key = keyOf(name);
  withStoreLock(store, "shared", () => {
    const tagged = refFiles(store, key).filter((path) => readRecord(store, path, decodeTag)?.name === name);
    if (tagged.length === 0)
      throw new RktError("NOT_FOUND", `Cannot remove the name ${quoted(name)}: no image was given it`);
    for (const path of tagged) {
      const id = readRecord(store, path, decodeRef);
      removeFileBeneath(store.host, dataDir.cas, inCas(store, path));
      const image = id && loadImage(store, id);
      if (image?.refs.includes(key) === true)
        rewrite(
          store,
          image,
          image.refs.filter((ref) => ref !== key),
        );
    }
  });
}

/** The names that images were given, as far as this caller believes them; sorted. */
export function listTags(dataDir: DataDir, options: StoreOptions = {}): Tag[] {
  const store = openStore(dataDir, options);
  const directory = store.believes ? dataDir.verifiedRefs : dataDir.refs;
  return namesIn(store, directory)
    .filter((file) => /^[0-9a-f]{64}\.json$/.test(file))
    .map((file) => readRecord(store, `${directory}/${file}`, decodeTag))
    .filter((tag) => tag?.name !== undefined && loadImage(store, tag.id) !== undefined)
    .map((tag) => tag as Tag)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The record's key: that of a fetched reference for registries, one of its own for App Container names, whose images say their names themselves. */
function keyOf(name: string): string {
  return name.startsWith("docker://") ? nameKey(name) : tagKey(name);
}

/** Root's belief first: a command killed in between leaves a name that root knows. */
function refFiles({ dataDir, believes }: Store, key: string): string[] {
  return believes ? [dataDir.verifiedRef(key), dataDir.ref(key)] : [dataDir.ref(key)];
}

/** The image's records with other names; what root has not seen verified gets no verdict by it. */
function rewrite(store: Store, image: ImageRecord, refs: readonly string[]): void {
  const { dataDir } = store;
  const verified = loadVerified(store, image.id);
  if (verified !== undefined)
    write(store, dataDir.verifiedRecord(image.id), encodeRecord({ ...verified, refs }, "with verdict"), OWN);
  write(store, dataDir.imageRecord(image.id), encodeRecord({ ...image, refs }, "without verdict"));
}

/** Modes as in put-image.ts. */
const SHARED = 0o660;
const OWN = 0o600;

function write(
  store: Store,
  path: string,
  content: string,
  mode = path.startsWith(store.dataDir.verified) ? OWN : SHARED,
): void {
  replaceFileBeneath(store.host, store.dataDir.cas, inCas(store, path), content, mode);
}
