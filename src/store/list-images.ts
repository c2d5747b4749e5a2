/** All images, and the note that one was used. */

import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import type { StoredImage } from "../core/spine.ts";
import { openBeneath } from "../host/beneath.ts";
import { AT, O } from "../host/mod.ts";
import { inCas, openStore, type StoreOptions } from "./files.ts";
import { loadAll } from "./load.ts";

/** Every image, in the order of ids. Broken records are reported as warnings and left out. */
export function listImages(dataDir: DataDir, options: StoreOptions = {}): StoredImage[] {
  return loadAll(openStore(dataDir, options));
}

/** utimensat(2): set to the current time. Unlike a given time, that needs no more than the right to write. */
const UTIME_NOW = { seconds: 0, nanoseconds: (1 << 30) - 1 };

/** Notes that an image was used just now: the modification time of its record. A caller who may not is not stopped by it. */
export function touchImage(dataDir: DataDir, { id }: { readonly id: ImageId }, options: StoreOptions = {}): void {
  const store = openStore(dataDir, options);
  try {
    const fd = openBeneath(store.host, dataDir.cas, inCas(store, dataDir.imageRecord(id)), O.RDONLY);
    try {
      store.host.utimensat(fd, "", UTIME_NOW, UTIME_NOW, AT.EMPTY_PATH);
    } finally {
      store.host.close(fd);
    }
  } catch {
    // Read-only file system, not a member of the group, removed meanwhile: the image can be used all the same.
  }
}
