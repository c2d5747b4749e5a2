/** The record of what keeps this pod apart (docs/stage1-contract.md), for `rkt status`. */

import { writeFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { asksForNoFilter, type PodManifest } from "../../src/spec/appc/mod.ts";
import {
  FLAVOR_ISOLATION,
  type Flavor,
  formatIsolation,
  type IsolationName,
  isolationOf,
  logsDeniedCalls,
  type RunArguments,
} from "../../src/stage1-contract/mod.ts";

/** Written last, when all of it is about to be true. */
export function recordIsolation(
  files: PodFiles,
  flavor: Flavor,
  run: RunArguments,
  manifest: PodManifest,
  /** What there is to say, by name; undefined: this pod does not have it. */
  about: ReadonlyMap<IsolationName, string | undefined> = new Map(),
): void {
  const unfiltered = manifest.apps.some((app) => logsDeniedCalls(app) || asksForNoFilter(app.app?.isolators ?? []));
  const isolation = isolationOf(FLAVOR_ISOLATION[flavor], run, unfiltered);
  for (const [name, text] of about) {
    if (text === undefined) isolation.delete(name);
    else isolation.set(name, text);
  }
  writeFileSync(files.isolation, formatIsolation(isolation), { mode: 0o644 });
}
