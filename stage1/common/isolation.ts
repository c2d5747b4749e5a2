/** The record of what keeps this pod apart (docs/stage1-contract.md), for `rkt status`. */

import { writeFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { asksForNoFilter, type PodManifest } from "../../src/spec/appc/mod.ts";
import {
  FLAVOR_ISOLATION,
  type Flavor,
  formatIsolation,
  isolationOf,
  type RunArguments,
} from "../../src/stage1-contract/mod.ts";

/** Written last, when all of it is about to be true. */
export function recordIsolation(files: PodFiles, flavor: Flavor, run: RunArguments, manifest: PodManifest): void {
  const unfiltered = manifest.apps.some(({ app }) => asksForNoFilter(app?.isolators ?? []));
  writeFileSync(files.isolation, formatIsolation(isolationOf(FLAVOR_ISOLATION[flavor], run, unfiltered)), {
    mode: 0o644,
  });
}
