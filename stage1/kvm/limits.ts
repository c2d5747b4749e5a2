/** Which of a pod's limits hold where: what the machine as a whole may use is limited on the host; memory and processes, which the host does not see, inside. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ISOLATOR, type Isolator, type PodManifest } from "../../src/spec/appc/mod.ts";
import { UNIT_DIRECTORY } from "../nspawn/app-files.ts";
import { hasLimits, limitLines } from "../nspawn/limits.ts";

const INSIDE: readonly string[] = [ISOLATOR.memory, ISOLATOR.pids];
const DISKS: readonly string[] = [ISOLATOR.blockBandwidth, ISOLATOR.blockIops];
/** What no app of a pod has (nspawn/pod-limits.ts warns of it). */
const NOWHERE: readonly string[] = [ISOLATOR.selinuxContext, ISOLATOR.networkBandwidth, ISOLATOR.sysctl];

/**
 * The pod for its cgroup on the host. All files are read and written there, by virtiofsd: the disk limits of a pod's only app are the pod's, and those of one of several apps cannot be held.
 */
export function hostShare(manifest: PodManifest): PodManifest {
  const [only, ...others] = manifest.apps;
  const disks = others.length === 0 ? (only?.app?.isolators ?? []).filter(({ name }) => DISKS.includes(name)) : [];
  const told = (isolator: Isolator) => NOWHERE.includes(isolator.name);
  return {
    ...manifest,
    isolators: [...manifest.isolators.filter(({ name }) => !INSIDE.includes(name)), ...disks],
    apps: manifest.apps.map((app) => ({
      ...app,
      app: app.app && { ...app.app, isolators: app.app.isolators.filter(told) },
    })),
  };
}

/** Apps whose disk limits have no effect: of a pod of several. */
export function unlimitedDisks(manifest: PodManifest): string[] {
  if (manifest.apps.length < 2) return [];
  return manifest.apps
    .filter(({ app }) => app?.isolators.some(({ name }) => DISKS.includes(name)))
    .map(({ name }) => name);
}

/** Units of the guest's systemd that hold the pod's limits: one slice for all apps. `root`: the stage1's. */
export function limitGuest(root: string, manifest: PodManifest): void {
  for (const [file, text] of guestLimits(manifest)) {
    mkdirSync(join(root, UNIT_DIRECTORY, file, ".."), { recursive: true, mode: 0o755 });
    writeFileSync(join(root, UNIT_DIRECTORY, file), text, { mode: 0o644 });
  }
}

/** Pure: drop-ins by path. */
export function guestLimits(manifest: PodManifest): [path: string, text: string][] {
  const isolators = manifest.isolators.filter(({ name }) => INSIDE.includes(name));
  if (isolators.length === 0) return [];
  const slice = `[Unit]\nDefaultDependencies=no\n\n[Slice]\n${limitLines({ isolators }, []).join("\n")}\n`;
  const unlimited = manifest.apps.filter(({ app }) => app !== undefined && !hasLimits(app));
  return [
    ["app.slice.d/pod.conf", slice],
    ...unlimited.flatMap(({ name }): [string, string][] =>
      [`${name}.service`, `enter-${name}@.service`].map((unit) => [
        `${unit}.d/pod.conf`,
        "[Service]\nSlice=app.slice\n",
      ]),
    ),
  ];
}
