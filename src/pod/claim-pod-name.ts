/**
 * Giving and taking names of pods. The link (pod-name.ts) is what counts; the file `name` in the pod's directory tells a removal where to look. A pod that is over loses its
 * name to the next that asks: a service that is started again has the same name.
 */

import { mkdirSync, openSync, readdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DataDir, PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { PodUuid } from "../core/uuid.ts";
import type { Host } from "../host/host.ts";
import { tryLock } from "../host/lock.ts";
import { closePod, openPod, type PodReader } from "./find.ts";
import { isPodName, podNamesByUuid, uuidOfName } from "./pod-name.ts";
import { killPodProcesses } from "./processes.ts";
import { isFinished } from "./state.ts";

/** Gives `name` to a pod that this process has just made. Throws CONFLICT while another pod that is not over has it. */
export function claimPodName(
  reader: PodReader,
  pod: { readonly uuid: PodUuid; readonly dir: string },
  name: string,
): void {
  const { dataDir } = reader;
  withNames(reader, () => {
    const holder = uuidOfName(dataDir, name);
    const state = holder === undefined || holder === pod.uuid ? undefined : stateOf(reader, holder);
    if (state !== undefined && !isFinished(state))
      throw new RktError(
        "CONFLICT",
        `Cannot name the pod ${quoted(name)}: pod ${holder}, which is ${state}, has that name`,
        {
          hint: "choose another name, or stop that pod first",
        },
      );
    writeFileSync(new PodFiles(pod.dir).name, `${name}\n`, { mode: 0o640 });
    const link = dataDir.podName(name);
    symlinkSync(pod.uuid, `${link}.new`);
    renameSync(`${link}.new`, link);
  });
}

/**
 * Ends what is left of the pod called `name` when that has lost its supervisor: whoever supervised it has started its successor, which could have neither the name nor,
 * it may be, the ports and files.
 */
export async function endLostNamesake(reader: PodReader, name: string): Promise<void> {
  const holder = uuidOfName(reader.dataDir, name);
  const pod = holder === undefined ? undefined : openPod(reader, holder);
  if (pod === undefined) return;
  try {
    if (pod.supervisorLost) await killPodProcesses(reader.host, reader.processes, pod);
  } finally {
    closePod(reader.host, pod);
  }
}

/** Takes the name away from a pod that is being removed, if it has it still. */
export function releasePodName(reader: PodReader, uuid: PodUuid, name: string): void {
  if (!isPodName(name) || uuidOfName(reader.dataDir, name) !== uuid) return;
  withNames(reader, () => {
    if (uuidOfName(reader.dataDir, name) === uuid) unlinkSync(reader.dataDir.podName(name));
  });
}

/** Removes names whose pod is gone: somebody was killed in between. */
export function releaseLostNames(reader: PodReader): void {
  for (const [uuid, name] of podNamesByUuid(reader.dataDir))
    if (stateOf(reader, uuid) === undefined) releasePodName(reader, uuid, name);
}

function stateOf(reader: PodReader, uuid: PodUuid) {
  const pod = openPod(reader, uuid);
  if (pod === undefined) return undefined;
  closePod(reader.host, pod);
  return pod.state;
}

/** Under the exclusive lock on pods/names. What a killed process left half done is taken away first. */
function withNames({ dataDir, host }: { readonly dataDir: DataDir; readonly host: Host }, act: () => void): void {
  mkdirSync(dataDir.podNames, { recursive: true, mode: 0o750 });
  const fd = openSync(dataDir.podNames, "r");
  try {
    // Held for moments only.
    while (!tryLock(host, fd, "exclusive")) Bun.sleepSync(2);
    for (const name of readdirSync(dataDir.podNames))
      if (name.endsWith(".new")) unlinkSync(join(dataDir.podNames, name));
    act();
  } finally {
    host.close(fd);
  }
}
