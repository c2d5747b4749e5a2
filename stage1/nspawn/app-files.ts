/** The files of one app in the stage1's root, besides its own tree: units, environment, what its iomux reads. Pure. */

import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { memoryLimit } from "../../src/spec/appc/mod.ts";
import { appStatusFiles, DENIED_CALLS_DIRECTORY, logsDeniedCalls } from "../../src/stage1-contract/mod.ts";
import { endpoints, ioMuxEnvironment } from "./iomux.ts";
import { hasLimits, sliceName } from "./limits.ts";
import { allowedCalls, logFilter, logNames } from "./log-filter.ts";
import type { PodApp } from "./prepare-apps.ts";
import { boundingSet } from "./sandbox.ts";
import { environmentFile } from "./unit-text.ts";
import { appUnits, type UnitOptions } from "./units.ts";

export interface AppFile {
  readonly text: string | Uint8Array;
  readonly mode: number;
}

/** Directory of the units, in the stage1's root. */
export const UNIT_DIRECTORY = "etc/systemd/system";

/** By path in the stage1's root. Throws INVALID_INPUT for what cannot stand in a unit. */
export function appFiles(app: PodApp, manifest: PodManifest, options: UnitOptions): Map<string, AppFile> {
  const { unit } = app;
  const name = unit.runtimeApp.name;
  const files = new Map<string, AppFile>();
  files.set(`rkt/env/${name}`, { text: environmentFile(app.environment), mode: 0o600 });
  for (const [file, text] of appUnits(unit, options)) files.set(`${UNIT_DIRECTORY}/${file}`, { text, mode: 0o644 });
  // Where app-ended finds out whether a limit was hit: the app's, the pod's.
  const podLimit = memoryLimit(manifest.isolators) !== undefined;
  const groups = [...(hasLimits(unit.app) ? [`app.slice/${sliceName(name)}`] : []), ...(podLimit ? ["."] : [])];
  if (groups.length > 0) files.set(`rkt/memory/${name}`, { text: `${groups.join("\n")}\n`, mode: 0o644 });
  if (unit.mux !== undefined) {
    files.set(`rkt/iottymux/${name}/env`, { text: environmentFile(ioMuxEnvironment(unit.mux)), mode: 0o600 });
    files.set(`rkt/iottymux/${name}/endpoints`, { text: endpoints(name, unit.mux), mode: 0o644 });
  }
  if (logsDeniedCalls(unit.runtimeApp) && !options.disableSeccomp) {
    const allowed = allowedCalls(name, unit.app.isolators, boundingSet(unit.app.isolators));
    files.set(`rkt/seccomp/${name}/filter`, { text: logFilter(allowed), mode: 0o644 });
    files.set(`rkt/seccomp/${name}/names`, { text: logNames(allowed), mode: 0o644 });
    files.set(`${DENIED_CALLS_DIRECTORY}/${name}`, { text: "", mode: 0o644 });
  }
  return files;
}

/** Everything in the stage1's root that is this app's alone, as directory and name: what is taken away with it. */
export function appTraces(name: string): (readonly [directory: string, entry: string])[] {
  return [
    ...[`${name}.service`, `${name}.socket`, `enter-${name}@.service`, `iomux-${name}.service`, sliceName(name)].map(
      (file) => [UNIT_DIRECTORY, file] as const,
    ),
    [`${UNIT_DIRECTORY}/-.slice.d`, `${name}.conf`],
    ...["rkt/env", "rkt/memory", "rkt/iottymux", "opt/stage2"].map((directory) => [directory, name] as const),
    ...Object.values(appStatusFiles(name)).map((file) => ["rkt/status", file] as const),
  ];
}
