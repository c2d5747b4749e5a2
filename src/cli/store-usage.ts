/**
 * Where the bytes of the data directory are: every file that du(1) counts belongs to exactly one heading, and the headings add up to du's sum. A layer or blob that several
 * images share counts once.
 */

import { dirname, join, relative } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import type { ImageId } from "../core/digest.ts";
import type { Emit } from "../core/events.ts";
import { diskUsage, usageCount } from "../host/disk-usage.ts";
import { layerLink } from "../render/layer-id.ts";
import { findRenderedTree } from "../render/mod.ts";
import { filesOfImage, listImages } from "../store/mod.ts";
import { planGc } from "./gc-plan.ts";

/** In bytes on the disk. */
export interface StoreUsage {
  /** Of each image: all that it uses, and what nothing else uses. */
  readonly images: ReadonlyMap<ImageId, { readonly disk: number; readonly unique: number }>;
  readonly sums: {
    /** Blobs, records and unpacked layers of images. */
    readonly images: number;
    /** Pods, and layers that only pods need any more. */
    readonly pods: number;
    /** What `image gc` would remove whatever the grace period. */
    readonly leftovers: number;
    /** What it would remove later: downloads that can be continued, blobs of fetches that may be running. */
    readonly unfinished: number;
    /** Directories, locks and other files that the store itself needs. */
    readonly structure: number;
    /** What rkt did not write. */
    readonly unknown: number;
    readonly total: number;
  };
}

type Heading = Exclude<keyof StoreUsage["sums"], "total">;

/** Reads the whole data directory, as du does. Root only, since nobody else sees the unpacked layers. */
export function storeUsage(dataDir: DataDir, emit: Emit, tell: (text: string) => void): StoreUsage {
  const owners = ownersByPath(dataDir);
  const headings = headingsByPath(dataDir, emit, tell);
  const sums = { images: 0, pods: 0, leftovers: 0, unfinished: 0, structure: 0, unknown: 0 };
  const images = new Map<ImageId, { disk: number; unique: number }>();
  for (const { id } of listImages(dataDir)) images.set(id, { disk: 0, unique: 0 });
  const total = diskUsage(dataDir.root, usageCount(), (path, bytes) => {
    const unit = unitOf(dataDir, path);
    const owned = owners.get(unit);
    for (const id of owned ?? []) {
      const image = images.get(id);
      if (image === undefined) continue;
      image.disk += bytes;
      if (owned?.size === 1) image.unique += bytes;
    }
    sums[owned === undefined ? (headings.get(unit) ?? generalHeading(dataDir, unit)) : "images"] += bytes;
    return true;
  });
  return { images, sums: { ...sums, total } };
}

/** The path that decides: of what lies in a layer, a pod or a temporary directory, that directory. */
function unitOf(dataDir: DataDir, path: string): string {
  for (const parent of [dataDir.layers, dataDir.trees, dataDir.tmp]) {
    if (path.startsWith(`${parent}/`)) return join(parent, path.slice(parent.length + 1).split("/", 1)[0] ?? "");
  }
  return path.startsWith(`${dataDir.pods}/`) ? dataDir.pods : path;
}

function ownersByPath(dataDir: DataDir): Map<string, Set<ImageId>> {
  const owners = new Map<string, Set<ImageId>>();
  for (const { id } of listImages(dataDir)) {
    const tree = findRenderedTree(dataDir, id);
    const layers = tree?.layers.map(({ layerId }) => layerId) ?? [];
    const paths = [
      ...filesOfImage(dataDir, id),
      dataDir.treeRecord(id),
      ...(tree === undefined ? [] : [dataDir.treeRecord(tree.treeId)]),
      ...layers.flatMap((layer) => [
        dataDir.layer(layer),
        join(dataDir.layerLinks, layerLink(layer)),
        join(dataDir.layerLocks, layer),
      ]),
    ];
    for (const path of paths) owners.set(path, (owners.get(path) ?? new Set()).add(id));
  }
  return owners;
}

function headingsByPath(dataDir: DataDir, emit: Emit, tell: (text: string) => void): Map<string, Heading> {
  const headings = new Map<string, Heading>();
  // No image is old enough to go: what is left are things that belong to none.
  const plan = planGc(dataDir, Number.POSITIVE_INFINITY, emit, tell);
  for (const { path, young } of plan.leftovers) headings.set(path, young ? "unfinished" : "leftovers");
  const { trees, layers, links, locks } = plan.layers;
  const unneeded: [string, readonly string[]][] = [
    [dataDir.trees, trees],
    [dataDir.layers, layers],
    [dataDir.layerLinks, links],
    [dataDir.layerLocks, locks],
  ];
  for (const [directory, names] of unneeded) for (const name of names) headings.set(join(directory, name), "leftovers");
  for (const path of plan.temporaries) headings.set(path, "leftovers");
  return headings;
}

/** Layers that are neither an image's nor garbage are there because a pod stands on them. */
const KNOWN: readonly [pattern: RegExp, heading: Heading][] = [
  [/^pods(\/|$)/, "pods"],
  [/^cas\/layer\/./, "pods"],
  [/^cas\/(l|tree|treestorelocks)\/./, "pods"],
  [/^tmp\/rkt-image-/, "unfinished"],
  [/^$|^(format|tmp|locks|locks\/(prepareLock|takeOverLock|idRangeLock|selinuxLock)|cas)$/, "structure"],
  [/^measured(\/|$)/, "structure"],
  [/^cas\/(blob|images|refs|tmp|imagelocks|verified|layer|l|tree|treestorelocks)$/, "structure"],
  [/^cas\/blob\/sha(256|512)(\/[0-9a-f]{2})?$/, "structure"],
  [/^cas\/verified\/refs$/, "structure"],
  [/^cas\/imagelocks\/./, "structure"],
  // Of rkt 1.x: for the way back to it.
  [/^cas\/(db|db-backups|imageManifest)(\/|$)/, "structure"],
];

function generalHeading(dataDir: DataDir, path: string): Heading {
  const name = path === dataDir.root ? "" : relative(dataDir.root, path);
  const known = KNOWN.find(([pattern]) => pattern.test(name))?.[1];
  if (known !== undefined) return known;
  // A name that stands for an image which others fetched under it, too.
  return [dataDir.refs, dataDir.verifiedRefs].includes(dirname(path)) ? "structure" : "unknown";
}
