/** rkt image gc: removes images that nobody used for long, and everything that no image and no pod needs. */

import { closeSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DataDir } from "../../../core/data-dir.ts";
import { RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { diskUsage, usageCount } from "../../../host/disk-usage.ts";
import { AT_FDCWD, linux, O } from "../../../host/mod.ts";
import { removeTree } from "../../../host/remove-tree.ts";
import { takePrepareLock, treesInUse } from "../../../pod/mod.ts";
import { collectLayers } from "../../../render/collect.ts";
import { ordered } from "../../../spec/json-text.ts";
import { openDataDir } from "../../../stage0/open-data-dir.ts";
import { collectImages, listImages } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { type GcPlan, imagesInUse, planGc, staleTemporaries } from "../../gc-plan.ts";
import { humanSize } from "../../human.ts";
import { failureText, imageRemovals } from "../../image-removals.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";

export const command: Command = {
  name: "gc",
  summary: "Garbage collect local store",
  usage: "[--grace-period=duration] [--dry-run [--format=json|json-pretty]]",
  description: `Removes images that were not used for the grace period, unpacked layers that no pod and no image needs, blobs without an image, and downloads that nobody continued for a day. Images of running and prepared pods stay.

With --grace-period=0s unfinished downloads go too, unless a fetch is working on them. With --dry-run nothing is removed, and every path that would go is listed with the bytes that it takes on the disk.`,
  flags: [
    {
      name: "grace-period",
      kind: "duration",
      default: "24h0m0s",
      usage: "duration to wait since an image was last used before removing it",
    },
    { name: "dry-run", kind: "bool", usage: "show what would be removed, and remove nothing" },
    FORMAT_FLAG,
  ],
  run: gcCommand,
};

async function gcCommand({ engine, flags, output }: CommandInput): Promise<number> {
  const format = jsonFormat(flags);
  if (format !== undefined && !flags.bool("dry-run"))
    throw new RktError("USAGE", "Cannot use --format: it needs --dry-run");
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", "cannot collect unpacked images: permission denied", {
      hint: "image gc needs root; members of group rkt can remove single images with image rm",
    });
  }
  const { dataDir } = engine;
  await openDataDir(engine);
  const grace = flags.duration("grace-period");
  const tell = (text: string) => output.error(text);
  // From before anything is counted: a pod that is being prepared has chosen its image, and nobody knows yet.
  const lock = await takePrepareLock(dataDir, linux, "exclusive");
  try {
    if (flags.bool("dry-run")) {
      const entries = dryRun(dataDir, planGc(dataDir, grace, engine.emit, tell));
      output.stdout(format === undefined ? asText(entries) : formatted(asJson(entries), format));
      return 0;
    }
    const removals = imageRemovals(output);
    const { stale } = collectImages(dataDir, {
      emit: engine.emit,
      grace,
      inUse: imagesInUse(dataDir, tell),
      onRemoved: removals.removed,
      onFailed: removals.failed,
    });
    for (const file of stale) tell(`cannot remove ${file}`);
    const unknown = collectTrees(dataDir, tell);
    removeTemporaries(dataDir);
    return removals.end() || (stale.length > 0 || unknown ? 254 : 0);
  } finally {
    closeSync(lock);
  }
}

interface Entry {
  readonly kind: "image" | "file" | "layer" | "tree" | "temporary";
  readonly path: string;
  readonly what: string;
  readonly bytes: number;
}

/** Every path that would go, with its bytes; files with several names count once. */
function dryRun(dataDir: DataDir, plan: GcPlan): Entry[] {
  const count = usageCount();
  const entry = (kind: Entry["kind"], path: string, what: string): Entry => ({
    kind,
    path,
    what,
    bytes: diskUsage(path, count),
  });
  const inDirectory = (kind: Entry["kind"], directory: string, names: readonly string[], what: string): Entry[] =>
    names.map((name) => entry(kind, join(directory, name), what));
  const { layers } = plan;
  return [
    ...plan.imageFiles.map((path) => entry("image", path, "of an image not used for the grace period")),
    ...plan.leftovers.filter(({ young }) => !young).map(({ path, what }) => entry("file", path, what)),
    ...inDirectory("tree", dataDir.trees, layers.trees, "the record of a tree that nothing needs"),
    ...inDirectory("layer", dataDir.layers, layers.layers, "an unpacked layer that nothing needs"),
    ...inDirectory("layer", dataDir.layerLinks, layers.links, "the short name of such a layer"),
    ...inDirectory("layer", dataDir.layerLocks, layers.locks, "the lock file of such a layer"),
    ...plan.temporaries.map((path) => entry("temporary", path, "left by a killed command")),
  ];
}

function sumOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

function asText(entries: readonly Entry[]): string {
  const lines = entries.map(({ path, what, bytes }) => `would remove ${quoted(path)} (${humanSize(bytes)}): ${what}\n`);
  return `${lines.join("")}would free ${humanSize(sumOf(entries))} (${sumOf(entries)} bytes)\n`;
}

function asJson(entries: readonly Entry[]): ReturnType<typeof ordered> {
  const remove = entries.map(({ kind, path, what, bytes }) =>
    ordered(["kind", kind], ["path", path], ["what", what], ["bytes", bytes]),
  );
  return ordered(["remove", remove], ["bytes", sumOf(entries)]);
}

/** Returns true when something could not be decided. */
function collectTrees(dataDir: DataDir, tell: (text: string) => void): boolean {
  const imagesKnown = new Set(listImages(dataDir).map(({ id }) => id));
  const before = treeIds(dataDir);
  const { unknownTrees } = collectLayers(dataDir, linux, { treesInUse: treesInUse(dataDir, linux), imagesKnown });
  const after = new Set(treeIds(dataDir));
  for (const id of before) if (!after.has(id)) tell(`removed treestore ${quoted(id)}`);
  if (unknownTrees.length === 0) return false;
  tell(
    `failed to remove unreferenced treestores: pods refer to ${unknownTrees.map((id) => quoted(id)).join(", ")}, and there is no record of it; rkt fsck --repair may find it again`,
  );
  return true;
}

function removeTemporaries(dataDir: DataDir): void {
  for (const path of staleTemporaries(dataDir)) {
    const parent = linux.openat(AT_FDCWD, dirname(path), O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
    try {
      removeTree(linux, parent, basename(path));
    } catch (error) {
      throw new RktError("SYSTEM_CALL", `Cannot remove ${quoted(path)}: ${failureText(error)}`, { cause: error });
    } finally {
      linux.close(parent);
    }
  }
}

function treeIds(dataDir: DataDir): string[] {
  return readdirSync(dataDir.trees)
    .filter((name) => /^deps-sha512-[0-9a-f]{64}\.json$/.test(name))
    .map((name) => name.slice(0, -".json".length));
}
