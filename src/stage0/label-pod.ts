/** The SELinux label of a pod that is about to start. Loaded only where SELinux is enabled. */

import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { labelOf, relabelTree } from "../host/relabel-tree.ts";
import { readPolicyFile, selinuxEnforcing } from "../host/selinux.ts";
import { sharedContext, sharedLayerContext, takePodLabel } from "../pod/selinux-label.ts";
import type { ImageManifest, PodManifest, Volume } from "../spec/appc/mod.ts";
import { type PodLabel, parseDeclaredIsolation, STAGE1_ANNOTATION } from "../stage1-contract/mod.ts";

/** Undefined for a stage1 that says what it can do, and that this is not among it: its pod's processes would have no use for the files' label. */
export async function labelPod(engine: Engine, podDir: string, stage1: ImageManifest): Promise<PodLabel | undefined> {
  const declared = stage1.annotations.find(({ name }) => name === STAGE1_ANNOTATION.isolation)?.value;
  if (declared !== undefined && !parseDeclaredIsolation(declared).includes("selinux")) return undefined;
  const label = await takePodLabel(engine.dataDir, linux, podDir);
  if (!selinuxEnforcing())
    engine.emit({ kind: "warning", text: "SELinux is permissive on this host: the pod's label keeps nobody out" });
  return label;
}

/**
 * Labels the layers of a pod, where they have not been: overlayfs gives a program that maps a file of a layer the layer's own file, and for what it may do with such memory the
 * kernel looks at that one's label (seen: no library could be loaded). All pods read them, none writes. `directories`: the layers' roots.
 */
export function labelLayers(directories: readonly string[]): void {
  const context = sharedLayerContext(readPolicyFile("contexts/lxc_contexts"));
  for (const directory of new Set(directories))
    if (labelOf(linux, directory) !== context) relabelTree(linux, directory, context);
}

/** Relabels the volumes that ask for it; without a label of the pod's own as what every pod may use. Throws for a directory that the host itself needs. */
export function relabelVolumes(manifest: Pick<PodManifest, "apps" | "volumes">, label: PodLabel): void {
  const own = manifest.apps.flatMap(({ mounts }) => mounts.flatMap(({ appVolume }) => appVolume ?? []));
  for (const volume of [...manifest.volumes, ...own]) relabelVolume(volume, label);
}

function relabelVolume(volume: Volume, label: PodLabel): void {
  if (volume.kind !== "host" || volume.relabel === undefined) return;
  refuseSystemDirectory(volume.source, volume.name);
  relabelTree(linux, volume.source, volume.relabel === "private" ? label.file : sharedContext(label.file));
}

/** What the host's own services use: with a pod's label they could not any more, and the host would not boot. */
const SYSTEM =
  /^\/(bin|boot|dev|etc|home|lib[0-9a-z]*|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|usr\/.*|var|var\/(cache|lib|log|run|spool|tmp))?$/;

export function refuseSystemDirectory(source: string, volume: string): void {
  const path = source.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
  if (!SYSTEM.test(path) && !path.split("/").includes("..")) return;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot relabel ${quoted(source)} for volume ${quoted(volume)}: the host itself needs the labels there`,
    {
      hint: 'give a directory of the pod\'s own below it, or leave "relabel" out',
    },
  );
}
