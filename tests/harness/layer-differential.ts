/** Random layers, unpacked by rkt one in sight of the other, mounted by the kernel, and held against a plain model of what they mean. Needs root. */

import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDigest } from "../../src/core/digest.ts";
import { AT_FDCWD, linux, O } from "../../src/host/mod.ts";
import { unpack } from "../../src/render/unpack/unpack.ts";
import { describeTree } from "./describe-tree.ts";
import { fuzzCase } from "./layer-fuzz.ts";
import { describeModel } from "./layer-model.ts";
import { runProgram, temporaryDirectory } from "./temporary.ts";

/** What differs for the layers of `seed`, with the layers; undefined when nothing does. */
export async function layerDifference(seed: number): Promise<string | undefined> {
  using dir = temporaryDirectory("layers");
  const { archives, entries, model } = fuzzCase(seed, { uid: 0, gid: 0 });
  const layers: string[] = [];
  for (const [index, archive] of archives.entries()) {
    const layer = join(dir.path, String(index));
    mkdirSync(layer);
    await unpackHere(dir.path, archive, layer, layers);
    layers.unshift(layer);
  }
  const actual = overlayView(dir.path, layers);
  const wanted = new Map([...describeModel(model)].map(([path, what]) => [path, withoutTimes(what)]));
  const paths = [...new Set([...actual.keys(), ...wanted.keys()])].sort();
  const different = paths.filter((path) => actual.get(path) !== wanted.get(path));
  if (different.length === 0) return undefined;
  const lines = different.map(
    (path) => `${path}: ${actual.get(path) ?? "missing"}, expected ${wanted.get(path) ?? "nothing"}`,
  );
  return `seed ${seed}: ${lines.join("; ")}; layers ${JSON.stringify(entries)}`;
}

function overlayView(base: string, layers: readonly string[]): Map<string, string> {
  for (const name of ["upper", "work", "merged"]) mkdirSync(join(base, name));
  const merged = join(base, "merged");
  const options = `lowerdir=${layers.join(":")},upperdir=${base}/upper,workdir=${base}/work,userxattr`;
  runProgram(["mount", "-t", "overlay", "overlay", "-o", options, merged]);
  try {
    return new Map(
      [...describeTree(merged)].map(([path, what]) => [path, what.replace(/^file (\d+) \d+ /, "file $1 ")]),
    );
  } finally {
    runProgram(["umount", merged]);
  }
}

/** The model's words without modification times, which overlayfs shows as they are in the layer. */
function withoutTimes(what: string): string {
  return what.startsWith("directory") ? what.replace(/ [0-9?]+$/, "") : what.replace(/^(\S+ \d+) \d+ /, "$1 ");
}

async function unpackHere(base: string, archive: Buffer, target: string, lowers: readonly string[]): Promise<void> {
  const blob = join(base, "blob");
  writeFileSync(blob, archive);
  const digest = parseDigest(`sha256:${createHash("sha256").update(archive).digest("hex")}`);
  const open = (path: string) => ({ path, fd: linux.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0) });
  const [top, below, blobFd] = [open(target), lowers.map(open), openSync(blob, "r")];
  try {
    const expected = { digest, size: archive.length, diffId: digest, imageId: undefined };
    await unpack(linux, { format: "oci", blob: expected, blobFd, target: top, lowers: below });
  } finally {
    for (const fd of [top.fd, ...below.map((lower) => lower.fd)]) linux.close(fd);
    closeSync(blobFd);
  }
}
