/** What users of its own cost a pod of a large image: the same start with and without --private-users, one after the other in the same rounds. */

import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildBusyboxOci, type Files } from "../tests/harness/images.ts";
import { randomNumbers } from "../tests/harness/random.ts";
import { type Case, interleave, run, type Timed } from "./measure.ts";
import type { Workspace } from "./workspace.ts";

export const WITHOUT = "rkt run, nspawn, 200 MB image";
export const WITH = `${WITHOUT}, --private-users`;
export const COPIED = `${WITH} --no-overlay`;

export function measureUsers(space: Workspace, runs: number, tell: (text: string) => void): Timed[] {
  const image = run(space.rkt(["fetch", "--full", `oci:${imageOf200Megabytes()}:latest`])).trim();
  const after = () => void run(space.rkt(["gc", "--grace-period=0s"]));
  const one = (name: string, note: string, ...flags: string[]): Case => ({
    name,
    note,
    command: space.rkt(["run", "--net=host", ...flags, image, "--exec=/bin/true"]),
    own: true,
    after,
  });
  return interleave(
    [
      one(WITHOUT, "4000 files"),
      one(WITH, "layers mapped, nothing copied", "--private-users"),
      one(COPIED, "what copying costs", "--private-users", "--no-overlay"),
    ],
    runs,
    tell,
  );
}

/** busybox, and three layers of files that do not compress. Made once. */
function imageOf200Megabytes(): string {
  const layout = join(process.cwd(), "build/bench/image-users");
  if (existsSync(layout)) return layout;
  const unfinished = `${layout}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  const random = randomNumbers(200);
  const layer = (name: string, files: number): Files =>
    Object.fromEntries(
      Array.from({ length: files }, (_, index) => [`${name}/${index % 50}/${index}`, noise(random, 50_000)]),
    );
  buildBusyboxOci(unfinished, {
    compression: "none",
    layers: [layer("usr/a", 2000), layer("usr/b", 1500), layer("srv/c", 500)],
  });
  renameSync(unfinished, layout);
  return layout;
}

function noise(random: () => number, size: number): Buffer {
  const words = new Uint32Array(Math.ceil(size / 4)).map(() => random() * 0x100000000);
  return Buffer.from(words.buffer, 0, size);
}
