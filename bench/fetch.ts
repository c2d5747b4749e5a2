/** From an OCI layout to a tree of files: fetch, check every digest, store, unpack. Each run begins with an empty store. */

import { existsSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { BigImage } from "./big-image.ts";
import { type Case, interleave, run, type Timed } from "./measure.ts";
import type { Workspace } from "./workspace.ts";

const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";

export const fetchName = (tag: string) => `rkt prepare (fetch, verify, unpack), ${tag}`;
export const tarName = (tag: string) => `tar, ${tag}`;
export const byHandName = (tag: string) => `the same by hand, ${tag}`;
export const podmanName = (tag: string) => `podman pull, ${tag}`;

/** A data directory that holds the stage1 and nothing else, so that unpacking the stage1 is not measured. */
function seedDataDir(space: Workspace): string {
  const seed = join(space.dir, "seed");
  if (existsSync(seed)) return seed;
  const image = `oci:${space.layout}:latest`;
  run(space.rkt(["prepare", FLY, image], seed));
  run(space.rkt(["gc", "--grace-period=0s", "--expire-prepared=0s"], seed));
  run(space.rkt(["image", "rm", image], seed));
  return seed;
}

/** A fresh copy of it as `to`. */
export function copySeed(space: Workspace, to: string): void {
  putAside(space, to);
  run(["cp", "--archive", seedDataDir(space), to]);
}

/**
 * Takes what a run wrote out of the way, until all has been measured: for minutes after thousands of files were removed, ext4 looks each of their inodes over whenever it makes a new one, which can take longer than
 * everything that is measured. Then waits for the disk, so that nothing is written back during the next run.
 */
export function putAside(space: Workspace, ...paths: string[]): void {
  const aside = join(space.dir, "aside");
  mkdirSync(aside, { recursive: true });
  for (const path of paths.filter((one) => existsSync(one)))
    renameSync(path, join(mkdtempSync(join(aside, "run-")), "left"));
  run(["sync", "--file-system", space.dir]);
}

export function measureFetch(space: Workspace, image: BigImage, runs: number, tell: (text: string) => void): Timed[] {
  return interleave(
    (["gzip", "zstd"] as const).flatMap((tag) => casesOf(space, image, tag)),
    runs,
    tell,
  );
}

function casesOf(space: Workspace, image: BigImage, tag: "gzip" | "zstd"): Case[] {
  const data = join(space.dir, "fetched");
  const reference = `oci:${join(process.cwd(), image.layout)}:${tag}`;
  const remove = (...paths: string[]) => putAside(space, ...paths);
  const fresh = () => {
    copySeed(space, data);
    remove();
  };
  const target = join(space.dir, "unpacked");
  const empty = () => {
    remove(target);
    mkdirSync(target);
  };
  const extract = image.layers[tag].map((layer) => `tar --${tag} -xf ${layer} -C ${target}`).join(" && ");
  const podmanStore = join(space.dir, "podman-pull");
  const cleanPodman = () => remove(podmanStore, `${podmanStore}-run`);
  return [
    {
      name: fetchName(tag),
      command: space.rkt(["prepare", "--quiet", FLY, reference], data),
      before: fresh,
      after: () => remove(data),
      own: true,
    },
    {
      name: `rkt fetch alone, ${tag}`,
      command: space.rkt(["fetch", reference], data),
      before: fresh,
      note: "fetch, verify, store",
      own: true,
    },
    {
      name: `rkt fetch again, ${tag}`,
      command: space.rkt(["fetch", reference], data),
      note: "nothing has changed",
      after: () => remove(data),
      own: true,
    },
    { name: tarName(tag), command: ["sh", "-c", extract], before: empty, after: empty, note: "no digest checked" },
    {
      name: byHandName(tag),
      command: ["bash", "-c", byHand(image.layers[tag], tag, target)],
      before: empty,
      after: empty,
      note: "blobs copied and hashed, content hashed and extracted, both on the disk: the floor",
    },
    {
      name: podmanName(tag),
      command: space.podman(["pull", "--quiet", reference], podmanStore),
      before: cleanPodman,
    },
    {
      name: `podman pull again, ${tag}`,
      command: space.podman(["pull", "--quiet", reference], podmanStore),
      note: "nothing has changed",
      after: cleanPodman,
    },
    {
      name: `umoci unpack, ${tag}`,
      command: ["umoci", "unpack", "--image", `${image.layout}:${tag}`, join(target, "bundle")],
      before: empty,
      after: empty,
    },
  ];
}

/** What rkt has to do for a layer, with the quickest programs there are for it: keep the blob, check its digest and its diff id, place the files, and wait for the disk. */
function byHand(layers: readonly string[], tag: string, target: string): string {
  const kept = join(target, "blob");
  const files = join(target, "files");
  const one = (layer: string) =>
    [
      `dd if=${layer} bs=1M status=none | tee ${kept} | sha256sum`,
      `sync ${kept}`,
      `${tag} -dc ${kept} | tee >(sha256sum >&2) | tar -x -C ${files}`,
    ].join(" && ");
  return ["set -e -o pipefail", `mkdir ${files}`, ...layers.map(one), `sync --file-system ${files}`].join("; ");
}
