/**
 * Every path under the data directory is built here, and those in a pod's directory in pod-files.ts, and only there
 * (docs/on-disk-format.md shows the same as a table). The classes hold no state and touch no file. Who may write where:
 * `cas` (except the root-only parts marked below) belongs to group `rkt`; the rest to root.
 */

import { join } from "node:path";
import type { Digest, ImageId } from "./digest.ts";
import type { PodUuid } from "./uuid.ts";

export { DEFAULT_DATA_DIR } from "./default-data-dir.ts";
export { PodFiles } from "./pod-files.ts";

/** The version in DATADIR/format. Newer: refused. Older (or absent beside rkt 1.x content): migrated. */
export const DATA_DIR_FORMAT = 2;

/**
 * The directory that holds a pod names half of its state; the lock on the pod's own directory is the other half
 * (docs/pod-lifecycle.md).
 */
export const POD_STATE_DIRS = ["embryo", "prepare", "prepared", "run", "exited-garbage", "garbage"] as const;
export type PodStateDir = (typeof POD_STATE_DIRS)[number];

export class DataDir {
  readonly root: string;

  /** `root`: absolute, symbolic links resolved. */
  constructor(root: string) {
    this.root = root;
  }

  get format(): string {
    return join(this.root, "format");
  }
  get tmp(): string {
    return join(this.root, "tmp");
  }
  get locks(): string {
    return join(this.root, "locks");
  }
  /** Shared while a pod is prepared, exclusive while rendered trees are collected. */
  get prepareLock(): string {
    return join(this.locks, "prepareLock");
  }

  /** Exclusive while a pod with a user namespace chooses its users. */
  get idRangeLock(): string {
    return join(this.locks, "idRangeLock");
  }

  /** Exclusive while a pod's SELinux label is chosen. */
  get selinuxLock(): string {
    return join(this.locks, "selinuxLock");
  }

  // --- content-addressed store: written by the fetch worker (group rkt) ---
  get cas(): string {
    return join(this.root, "cas");
  }
  /** A blob exactly as it came: an ACI archive, an OCI manifest, configuration or layer. */
  blob(digest: Digest): string {
    return join(this.cas, "blob", digest.algorithm, digest.hex.slice(0, 2), `${digest.algorithm}-${digest.hex}`);
  }
  get blobs(): string {
    return join(this.cas, "blob");
  }
  /** Index record of an image (JSON). */
  imageRecord(id: ImageId): string {
    return join(this.imageRecords, `${id}.json`);
  }
  get imageRecords(): string {
    return join(this.cas, "images");
  }
  /** The manifest of an ACI as the fetch found it, beside its record. */
  imageManifest(id: ImageId): string {
    return join(this.imageRecords, `${id}.manifest`);
  }
  /** The detached signature of an ACI as it came: root verifies again what only an unprivileged fetch has seen. */
  imageSignature(id: ImageId): string {
    return join(this.imageRecords, `${id}.asc`);
  }
  /** The signatures found for an OCI image, and the indexes that led to it, in one document ({@link SignatureSet}). */
  imageSignatures(id: ImageId): string {
    return join(this.imageRecords, `${id}.signatures`);
  }
  /** Records "this name or URL was fetched as this image", by hash of the name. */
  get refs(): string {
    return join(this.cas, "refs");
  }
  /** `key`: SHA-256 of the name, 64 hex digits. */
  ref(key: string): string {
    return join(this.refs, `${key}.json`);
  }
  get downloads(): string {
    return join(this.cas, "tmp");
  }
  get imageLocks(): string {
    return join(this.cas, "imagelocks");
  }

  // --- root only (0700) ---
  /**
   * What root itself saw verified: digest, names, policy, signer. An image without such a record is verified again
   * before it runs as root.
   */
  get verified(): string {
    return join(this.cas, "verified");
  }
  verifiedRecord(id: ImageId): string {
    return join(this.verified, `${id}.json`);
  }
  /** Like `refs`, recorded by root. */
  get verifiedRefs(): string {
    return join(this.verified, "refs");
  }
  verifiedRef(key: string): string {
    return join(this.verifiedRefs, `${key}.json`);
  }
  /** Rendered layers. `layerId` is `sha512-` or `sha256-` and hex: the chain id (OCI) or the image id (appc). */
  get layers(): string {
    return join(this.cas, "layer");
  }
  layer(layerId: string): string {
    return join(this.layers, layerId);
  }
  layerRootfs(layerId: string): string {
    return join(this.layer(layerId), "rootfs");
  }
  /** One lock file per layer (name: the layer's id): whoever renders it holds it. */
  get layerLocks(): string {
    return join(this.cas, "treestorelocks");
  }
  /**
   * Short symbolic links to layers: overlay options are cut at one page, so they use `l/<26 characters>` relative to
   * `cas`.
   */
  get layerLinks(): string {
    return join(this.cas, "l");
  }
  /** Rendered images: a record (JSON) naming the ordered layers of tree `treeId`. */
  get trees(): string {
    return join(this.cas, "tree");
  }
  treeRecord(treeId: string): string {
    return join(this.trees, `${treeId}.json`);
  }

  // --- what was measured into the machine's TPM: root only (0700), a file for each boot ---
  get measured(): string {
    return join(this.root, "measured");
  }

  // --- what rkt 1.x wrote (docs/on-disk-format.md, "A directory of rkt 1.x") ---
  get rkt1Database(): string {
    return join(this.cas, "db");
  }
  get rkt1Manifests(): string {
    return join(this.cas, "imageManifest");
  }
  /** An uncompressed archive, under its image's id. */
  rkt1Blob(id: ImageId): string {
    return join(this.blobs, "sha512", startOf(id), id);
  }
  rkt1Manifest(id: ImageId): string {
    return join(this.rkt1Manifests, "sha512", startOf(id), id);
  }
  /** An unpacked image: a directory, beside the records of {@link treeRecord}. */
  rkt1Tree(treeId: string): string {
    return join(this.trees, treeId);
  }
  /** Held while a directory of rkt 1.x is taken over. */
  get takeOverLock(): string {
    return join(this.locks, "takeOverLock");
  }

  // --- pods ---
  get pods(): string {
    return join(this.root, "pods");
  }
  podsIn(state: PodStateDir): string {
    return join(this.pods, state);
  }
  /** Links NAME → UUID (`--pod-name`). */
  get podNames(): string {
    return join(this.pods, "names");
  }
  podName(name: string): string {
    return join(this.podNames, name);
  }
  pod(state: PodStateDir, uuid: PodUuid): string {
    return join(this.podsIn(state), uuid);
  }
}

/** The first two digits of an id "sha512-…". */
function startOf(id: ImageId): string {
  return id.slice("sha512-".length, "sha512-".length + 2);
}
