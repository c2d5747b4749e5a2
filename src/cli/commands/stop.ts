/** rkt stop: asks pods to end, or ends them. */

import { ExitStatus, errorLine, RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { closePod, endProcesses, findPod, isAfterRun, type Pod, type Remover, waitForPod } from "../../pod/mod.ts";
import { formatStopArguments } from "../../stage1-contract/mod.ts";
import type { Command, CommandInput } from "../command.ts";
import { alreadyStopped } from "../pod-text.ts";
import { podWords, UUID_FILE_FLAG } from "../pod-words.ts";
import { removerOf } from "../remover.ts";

export const command: Command = {
  name: "stop",
  summary: "Stop a pod",
  usage: "[--force] --uuid-file=FILE | UUID ...",
  description:
    "Asks the pod's supervisor to end the pod (TERM), and waits a second at most, for all pods together: `rkt status --wait` waits for the end. The network of a pod that has ended by then is given back, with its ports and addresses; `rkt gc` does so later for the others. With --force everything in it is killed at once, so that `rkt rm` can follow. What a pod whose supervisor was killed has left running is killed, and waited for, in either case.",
  flags: [{ name: "force", kind: "bool", usage: "forced stopping" }, UUID_FILE_FLAG],
  run: stopCommand,
};

async function stopCommand(input: CommandInput): Promise<number> {
  const { flags, output } = input;
  const remover = removerOf(input);
  const stopped: Pod[] = [];
  let failures = 0;
  for (const word of uuidWords(input)) {
    let pod: Pod;
    try {
      pod = findPod(remover, word);
    } catch (error) {
      output.error(`cannot get pod: ${errorLine(error)}`);
      failures += 1;
      continue;
    }
    try {
      if (isAfterRun(pod.state)) {
        output.stdout(alreadyStopped(pod));
      } else {
        await stopPod(remover, pod, flags.bool("force"));
        output.stdout(`${quoted(pod.uuid)}\n`);
        stopped.push(pod);
        continue;
      }
    } catch (error) {
      output.error(errorLine(error));
      failures += 1;
    }
    closePod(linux, pod);
  }
  await followEnds(input, remover, stopped);
  if (failures === 0) return 0;
  output.error(`failed to stop ${failures} pod(s)`);
  return 254;
}

/** How long pods that were asked to end may take so that `rkt rm` can follow at once, and their networks are given back here and not by gc. Milliseconds, for all of them together. */
const PATIENCE = 1000;

/** Closes the pods. */
async function followEnds(input: CommandInput, remover: Remover, stopped: readonly Pod[]): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (const pod of stopped) {
    const left = Math.max(0, deadline - performance.now());
    const waited = await waitForPod(remover, pod, left, ({ state }) => isAfterRun(state));
    if (waited === undefined) continue;
    if (waited.reached) await freeNetwork(input, remover, waited.pod);
    closePod(linux, waited.pod);
  }
}

/** The pod is stopped, whatever becomes of its network: what cannot be given back is told, and gc tries again. */
async function freeNetwork({ engine, output }: CommandInput, remover: Remover, pod: Pod): Promise<void> {
  try {
    const { giveNetworkBack } = await import("../ended-network.ts");
    await giveNetworkBack(engine, remover, pod);
  } catch (error) {
    output.error(errorLine(error));
  }
}

/** rkt's one failure of this command that does not end with 254. */
function uuidWords(input: CommandInput): readonly string[] {
  try {
    return podWords(input);
  } catch (error) {
    throw error instanceof RktError && error.code === "NOT_FOUND" ? new ExitStatus(1, error) : error;
  }
}

async function stopPod(remover: Remover, pod: Pod, force: boolean): Promise<void> {
  if (pod.state !== "running") throw new RktError("WRONG_STATE", `pod ${quoted(pod.uuid)} is not running`);
  if (pod.supervisorLost) {
    // Nobody is left to be asked.
    if (await endProcesses(remover, pod)) return;
    throw new RktError("SYSTEM_CALL", `error stopping ${quoted(pod.uuid)}: processes are left`);
  }
  let status: number;
  try {
    status = await remover.callStage1(pod.dir, "stop", formatStopArguments({ uuid: pod.uuid, force }));
  } catch (cause) {
    throw new RktError("STAGE1", `error stopping ${quoted(pod.uuid)}`, { cause });
  }
  if (status !== 0) throw new RktError("STAGE1", `error stopping ${quoted(pod.uuid)}: exit status ${status}`);
}
