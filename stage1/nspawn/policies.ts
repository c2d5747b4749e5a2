/** How long the pod lives, and its apps: files that app-ended reads (rootfs/usr/lib/rkt). */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { exitPolicyOf, formatRestart, restartOf } from "../../src/stage1-contract/mod.ts";

/** `root`: the stage1's. Throws INVALID_INPUT. True: apps may be started again. */
export function writePolicies(root: string, manifest: PodManifest): boolean {
  const restart = restartOf(manifest);
  writeFileSync(join(root, "rkt/exit-policy"), `${exitPolicyOf(manifest)}\n`, { mode: 0o644 });
  if (restart.when === "no") return false;
  writeFileSync(join(root, "rkt/restart"), `${formatRestart(restart)}\n`, { mode: 0o644 });
  return true;
}
