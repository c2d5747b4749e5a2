/** `rkt fsck` on the blobs of the store. Looks without a lock; each mend looks again under its own. */

import type { DataDir } from "../core/data-dir.ts";
import { formatDigest } from "../core/digest.ts";
import type { Problem } from "../core/problem.ts";
import type { BlobRef, StoredImage } from "../core/spine.ts";
import { openFileBeneath, removeFileBeneath } from "../host/beneath.ts";
import { hashFile } from "../host/hash-file.ts";
import { inCas, openStore, type Store, type StoreOptions } from "./files.ts";
import { loadAll } from "./load.ts";
import { withStoreLock } from "./lock.ts";
import { blobsOf } from "./record.ts";

export interface CheckOptions extends StoreOptions {
  /** Read every blob and compare its digest; without it, its size. */
  readonly deep: boolean;
}

/**
 * A wrong or missing blob, with the images that need it. Mending removes what is wrong; bringing the right one is for
 * whoever can fetch.
 */
export interface BlobProblem extends Problem {
  readonly blob: BlobRef;
  readonly images: readonly StoredImage[];
}

/** Every blob that an image needs and that is not what it should be. */
export function blobProblems(dataDir: DataDir, { deep, ...options }: CheckOptions): BlobProblem[] {
  const store = { ...openStore(dataDir, options), emit: () => {} };
  const users = new Map<string, { blob: BlobRef; images: StoredImage[] }>();
  for (const image of loadAll(store)) {
    for (const blob of blobsOf(image)) {
      const key = formatDigest(blob.digest);
      const known = users.get(key) ?? { blob, images: [] };
      known.images.push(image);
      users.set(key, known);
    }
  }
  return [...users.values()].flatMap(({ blob, images }) => {
    const fault = blobFault(store, blob, deep);
    if (fault === undefined) return [];
    const path = dataDir.blob(blob.digest);
    const [first] = images;
    const names = images.map(({ id }) => id.slice(0, 19)).join(", ");
    const problem: BlobProblem = {
      severity: "damage",
      kind: fault.kind,
      path,
      ...(first === undefined ? {} : { image: first.id }),
      message: `blob ${formatDigest(blob.digest)} of ${names} ${fault.text}`,
      blob,
      images,
    };
    return [problem];
  });
}

/** Removes a blob that is not what it should be, after looking again under the store's lock; true when there was one. */
export function removeWrongBlob(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): boolean {
  const store = openStore(dataDir, options);
  return withStoreLock(store, "exclusive", () => {
    const fault = blobFault(store, blob, true);
    if (fault === undefined || fault.kind === "missing-blob") return false;
    removeFileBeneath(store.host, dataDir.cas, inCas(store, dataDir.blob(blob.digest)));
    return true;
  });
}

/** True when the store has the blob with its digest. */
export function isBlobWhole(dataDir: DataDir, blob: BlobRef, options: StoreOptions = {}): boolean {
  return blobFault(openStore(dataDir, options), blob, true) === undefined;
}

function blobFault(
  store: Store,
  { digest, size }: BlobRef,
  deep: boolean,
): { kind: "missing-blob" | "wrong-size" | "wrong-content"; text: string } | undefined {
  let file: { fd: number; size: number } | undefined;
  try {
    file = openFileBeneath(store.host, store.dataDir.cas, inCas(store, store.dataDir.blob(digest)));
  } catch {
    return { kind: "wrong-content", text: "is no regular file" };
  }
  if (file === undefined) return { kind: "missing-blob", text: "is missing" };
  try {
    if (file.size !== size) return { kind: "wrong-size", text: `has ${file.size} bytes, expected ${size}` };
    const hex = deep ? hashFile(file.fd, digest.algorithm) : digest.hex;
    return hex === digest.hex
      ? undefined
      : { kind: "wrong-content", text: `has content with ${digest.algorithm}:${hex}` };
  } finally {
    store.host.close(file.fd);
  }
}
