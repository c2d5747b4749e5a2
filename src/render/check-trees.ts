/** `rkt fsck` on unpacked layers and the records of trees. For root, under the prepare lock where it mends. */

import { lstatSync, readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { isImageId } from "../core/digest.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { directoryNames } from "../host/directory-names.ts";
import type { Host } from "../host/mod.ts";
import { layerDamage } from "./check-layer.ts";
import { isLayerId, isTreeId, layerIds, layerLink, type RenderableImage, treeIdOf } from "./layer-id.ts";
import { discardLayer, isRendered, lockLayer } from "./layer-store.ts";
import { discardRkt1Tree, hasRkt1Tree } from "./rkt-1-trees.ts";
import { findRenderedTree, recordTreeLayers, treeLayers } from "./trees.ts";

export interface TreeCheck {
  readonly dataDir: DataDir;
  readonly host: Host;
  /** Read every file of every layer. */
  readonly deep: boolean;
  /** Trees that pods refer to. */
  readonly treesInUse: ReadonlySet<string>;
  readonly images: readonly RenderableImage[];
}

/** Takes a few milliseconds; with `deep` as long as reading all layers. */
export function treeProblems(check: TreeCheck): Problem[] {
  return [...recordFaults(check), ...layerFaults(check)];
}

/** Records that cannot be read, and trees that pods stand on without a record. */
function recordFaults(check: TreeCheck): Problem[] {
  const { dataDir, treesInUse } = check;
  const problems: Problem[] = [];
  for (const file of directoryNames(dataDir.trees)) {
    const [path, name] = [join(dataDir.trees, file), file.replace(/\.json$/, "")];
    if (hasRkt1Tree(dataDir, file)) {
      if (!treesInUse.has(file)) problems.push(unneededRkt1Tree(check, file));
      continue;
    }
    if (isImageId(name) && treeRecordIsBroken(check, name)) problems.push(brokenRecord(path, name));
    else if (isTreeId(name) && treeLayers(dataDir, name) === undefined && !treesInUse.has(name)) {
      problems.push(brokenRecord(path, undefined));
    } else if (!file.endsWith(".json")) {
      const message = `${quoted(path)} is a record that was never finished`;
      problems.push({ severity: "leftover", kind: "leftover", path, message, mend: () => removeFile(path) });
    }
  }
  for (const treeId of treesInUse) {
    const layers = treeLayers(dataDir, treeId);
    if (layers === undefined && hasRkt1Tree(dataDir, treeId)) continue;
    if (layers === undefined) problems.push(lostTree(check, treeId));
    else if (!layers.every(({ layerId }) => isRendered(dataDir, layerId))) problems.push(lostLayers(check, treeId));
  }
  return problems;
}

function unneededRkt1Tree({ dataDir, host }: TreeCheck, treeId: string): Problem {
  const path = dataDir.rkt1Tree(treeId);
  const mend = (): string => {
    discardRkt1Tree(host, dataDir, treeId);
    return "removed it";
  };
  const message = `${quoted(path)} was unpacked by rkt 1.x, and no pod stands on it any more`;
  return { severity: "leftover", kind: "leftover", path, message, mend };
}

/** A record whose layers are gone only means that the image is not unpacked. */
function treeRecordIsBroken({ dataDir, images }: TreeCheck, name: string): boolean {
  const image = images.find(({ id }) => id === name);
  if (image === undefined || findRenderedTree(dataDir, image.id) !== undefined) return false;
  return image.format === "oci" && layerIds(image).every((layerId) => isRendered(dataDir, layerId));
}

function brokenRecord(path: string, image: RenderableImage["id"] | undefined): Problem {
  return {
    severity: "damage",
    kind: "broken-tree",
    path,
    ...(image === undefined ? {} : { image }),
    message: `the tree record ${quoted(path)} cannot be read`,
    mend: () => `${removeFile(path)}: it is made again when the image is used`,
  };
}

function lostTree({ dataDir, images }: TreeCheck, treeId: string): Problem {
  const layers = images.map(layersTopmostFirst).find((ids) => ids !== undefined && treeIdOf(ids) === treeId);
  const path = dataDir.treeRecord(treeId);
  const problem: Problem = {
    severity: "damage",
    kind: "lost-tree",
    path,
    message: `pods stand on tree ${treeId}, of which there is no record`,
  };
  if (layers === undefined) return problem;
  const mend = (): string => {
    recordTreeLayers(dataDir, layers);
    return "recorded it again";
  };
  return { ...problem, mend };
}

function lostLayers({ dataDir, images }: TreeCheck, treeId: string): Problem {
  const image = images.find((one) => {
    const ids = layersTopmostFirst(one);
    return ids !== undefined && treeIdOf(ids) === treeId;
  });
  return {
    severity: "damage",
    kind: "lost-layers",
    path: dataDir.treeRecord(treeId),
    ...(image === undefined ? {} : { image: image.id }),
    message: `pods stand on tree ${treeId}, some of whose layers are not there${image === undefined ? "; no image in the store has them" : ""}`,
  };
}

/** Undefined where dependencies decide, too. */
function layersTopmostFirst(image: RenderableImage): string[] | undefined {
  try {
    return layerIds(image).reverse();
  } catch {
    return undefined;
  }
}

function layerFaults(check: TreeCheck): Problem[] {
  const { dataDir, host, deep } = check;
  return directoryNames(dataDir.layers).flatMap((name): Problem[] => {
    const path = join(dataDir.layers, name);
    // Names that are no layers are for `image gc`.
    if (!isLayerId(name)) return [];
    if (!isRendered(dataDir, name)) return [halfWritten(check, name, path)];
    return [...linkFaults(dataDir, name), ...(deep || !hasRoot(dataDir, name) ? changed(check, host, name, path) : [])];
  });
}

function hasRoot(dataDir: DataDir, layerId: string): boolean {
  return lstatSync(dataDir.layerRootfs(layerId), { throwIfNoEntry: false })?.isDirectory() === true;
}

function halfWritten({ dataDir, host }: TreeCheck, layerId: string, path: string): Problem {
  return {
    severity: "leftover",
    kind: "half-written-layer",
    path,
    message: `layer ${layerId} was never finished`,
    mend: async () => {
      const release = await lockLayer(host, dataDir, layerId, false);
      if (release === undefined) return "left it: it is being unpacked";
      try {
        if (isRendered(dataDir, layerId)) return "left it: it is finished meanwhile";
        discardLayer(host, dataDir, layerId);
        return "removed it";
      } finally {
        release();
      }
    },
  };
}

function linkFaults(dataDir: DataDir, layerId: string): Problem[] {
  const path = join(dataDir.layerLinks, layerLink(layerId));
  const target = `../layer/${layerId}/rootfs`;
  if (linkTarget(path) === target) return [];
  return [
    {
      severity: "damage",
      kind: "lost-link",
      path,
      message: `the short name of layer ${layerId} is missing or leads elsewhere`,
      mend: () => {
        if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) unlinkSync(path);
        symlinkSync(target, path);
        return "made it again";
      },
    },
  ];
}

function changed({ dataDir, treesInUse }: TreeCheck, host: Host, layerId: string, path: string): Problem[] {
  const damage = layerDamage(host, dataDir, layerId);
  if (damage === undefined) return [];
  const problem: Problem = {
    severity: "damage",
    kind: "changed-layer",
    path,
    message: `layer ${layerId} is not what was unpacked: ${damage}`,
  };
  const users = [...treesInUse].filter((id) => treeLayers(dataDir, id)?.some((layer) => layer.layerId === layerId));
  if (users.length > 0)
    return [{ ...problem, message: `${problem.message}; pods stand on it: remove them, then repair again` }];
  const mend = (): string => {
    discardLayer(host, dataDir, layerId);
    return "removed it: it is unpacked again when an image needs it";
  };
  return [{ ...problem, mend }];
}

function removeFile(path: string): string {
  unlinkSync(path);
  return "removed it";
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
