/** `--detach` of `run` and `run-prepared`: the pod is started by `rkt run-prepared` in the background; prints its UUID. */

import type { PreparedPod } from "../core/spine.ts";
import { linux } from "../host/mod.ts";
import { movePod } from "../pod/mod.ts";
import type { PodManifest } from "../spec/appc/mod.ts";
import { startDetached } from "../stage0/detach.ts";
import { syncPod } from "../stage0/prepare.ts";
import type { CommandInput } from "./command.ts";
import { flagWords, globalWords, removalWords } from "./own-command-line.ts";
import { START_FLAGS } from "./pod-flags.ts";

/** `pod` is locked by this process. The result is rkt's status. */
export async function detachPod(
  { engine, flags, output }: CommandInput,
  pod: PreparedPod,
  manifest: PodManifest,
  { isPrepared }: { readonly isPrepared: boolean } = { isPrepared: false },
): Promise<number> {
  if (!isPrepared) syncPod(pod);
  const prepared = isPrepared ? pod : movePod(engine.dataDir, linux, pod, "prepared");
  const status = await startDetached(engine, prepared, {
    words: [...globalWords(engine), "run-prepared", ...flagWords(START_FLAGS, flags), pod.uuid],
    removal: flags.bool("rm") ? removalWords(engine, pod.uuid) : undefined,
    description: `rkt pod of ${manifest.apps.map(({ name }) => name).join(", ")}`,
  });
  output.stdout(`${pod.uuid}\n`);
  return status;
}
