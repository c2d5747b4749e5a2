/** OCI layouts made by umoci, and trees unpacked by it. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "./temporary.ts";

/** Makes the layout `dir` with an image `tag` of these archives, lowest first, as `umoci raw add-layer` takes them. */
export function umociImage(dir: string, tag: string, archives: readonly Uint8Array[]): void {
  runProgram(["umoci", "init", "--layout", dir]);
  runProgram(["umoci", "new", "--image", `${dir}:${tag}`]);
  runProgram(["umoci", "config", "--image", `${dir}:${tag}`, "--config.cmd", "/bin/true"]);
  const file = join(dir, "layer.tar");
  for (const archive of archives) {
    writeFileSync(file, archive);
    runProgram(["umoci", "raw", "add-layer", "--image", `${dir}:${tag}`, file]);
  }
  runProgram(["rm", "-f", file]);
  readable(dir);
}

/** Unpacks with `umoci unpack`; returns the root of the tree. */
export function umociUnpack(dir: string, tag: string, bundle: string): string {
  runProgram(["umoci", "unpack", "--image", `${dir}:${tag}`, bundle]);
  return join(bundle, "rootfs");
}

/** Changes an unpacked bundle by a shell script, run in its root, and stores the difference as a layer of umoci's own making. */
export function umociChange(dir: string, tag: string, bundle: string, script: string): void {
  mkdirSync(bundle, { recursive: true });
  const root = umociUnpack(dir, tag, bundle);
  runProgram(["sh", "-euc", script], { cwd: root });
  runProgram(["umoci", "repack", "--image", `${dir}:${tag}`, bundle]);
  readable(dir);
}

/** umoci's index is for its owner alone; rkt reads layouts as another user. */
function readable(layout: string): void {
  runProgram(["chmod", "-R", "a+rX", layout]);
}
