/** Commands that only look: `version`, and `list` with few and with many exited pods. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newUuid } from "../src/core/uuid.ts";
import { mountsBelow } from "../tests/harness/rkt.ts";
import { interleave, run, type Timed } from "./measure.ts";
import { RKT, type Workspace } from "./workspace.ts";

/** What every command of rkt pays before its first line. */
export const EMPTY = "an empty program of the same runtime";

export function measureList(space: Workspace, runs: number, tell: (text: string) => void): Timed[] {
  const few = join(space.dir, "ten-pods");
  const many = join(space.dir, "thousand-pods");
  makePods(space, few, 10);
  makePods(space, many, 1000);
  const own = true;
  return interleave(
    [
      { name: EMPTY, command: [emptyProgram(space)], own, note: "the floor" },
      { name: "rkt version", command: [RKT, "version"], own },
      { name: "rkt list, 10 pods", command: space.rkt(["list"], few), own },
      { name: "rkt list, 1000 pods", command: space.rkt(["list"], many), own },
      { name: "rkt list --format=json, 1000 pods", command: space.rkt(["list", "--format=json"], many), own },
      { name: "crun --version", command: ["crun", "--version"] },
      { name: "runc --version", command: ["runc", "--version"] },
      { name: "podman --version", command: ["podman", "--version"] },
    ],
    runs,
    tell,
  );
}

/** Built as rkt is (tools/build.ts). */
function emptyProgram(space: Workspace): string {
  const [source, program] = [join(space.dir, "empty.ts"), join(space.dir, "empty")];
  writeFileSync(source, "export {};\n");
  const flags = ["--compile", "--minify", "--bytecode", "--format=esm"];
  run([process.execPath, "build", ...flags, source, "--outfile", program]);
  return program;
}

/** One real exited pod, and copies of its directory as after a restart of the machine: all files, nothing mounted. */
function makePods(space: Workspace, dataDir: string, count: number): void {
  const image = `oci:${space.layout}:latest`;
  const file = join(space.dir, "first-uuid");
  const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
  run(space.rkt(["run", fly, `--uuid-file-save=${file}`, image, "--exec=/bin/true"], dataDir));
  const places = join(dataDir, "pods/run");
  const first = join(places, readFileSync(file, "utf8").trim());
  for (const path of mountsBelow(first).reverse()) run(["umount", path]);
  for (let index = 1; index < count; index += 1) run(["cp", "--archive", first, join(places, newUuid())]);
  const lines = run(space.rkt(["list", "--no-legend", "--full"], dataDir))
    .trim()
    .split("\n").length;
  if (readdirSync(places).length !== count || lines !== count) throw new Error(`${count} pods wanted, ${lines} listed`);
}
