/** The checks of `rkt net check`, and the mends of `rkt net repair`. */

import { closeSync, existsSync } from "node:fs";
import { POD_STATE_DIRS } from "../core/data-dir.ts";
import { errorLine } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import {
  checkPodNetwork,
  checkStatus,
  collectGarbage,
  configuredNetworks,
  findLeftovers,
  type KnownPod,
  lockSetUps,
  type NetworkProblem,
  pluginDirs,
} from "../network/mod.ts";
import { eachPod, type Pod, recordedPid } from "../pod/mod.ts";
import type { CommandInput } from "./command.ts";
import { giveNetworkBack, hasNetwork } from "./ended-network.ts";
import { removerOf } from "./remover.ts";

export interface NetworkFinding {
  readonly problem: NetworkProblem;
  /** "leftover": of a pod that has ended and waits for gc. Nothing is wrong with it. */
  readonly severity: "damage" | "leftover";
  readonly mended: boolean;
  /** Why it was not, where somebody tried. */
  readonly failure: string | undefined;
}

export interface NetworkLook {
  /** Networks of running pods: UUID, network, interface, how it was checked. */
  readonly pods: readonly { uuid: string; network: string; ifName: string; check: "ok" | "seen" | "failed" }[];
  readonly findings: readonly NetworkFinding[];
  /** Networks whose plugins have given back what nobody uses (repair). */
  readonly collected: readonly string[];
}

/**
 * Looks at every pod's network, at what dead pods left, and at the networks' plugins; mends what can be mended when asked to. For root, in the host's network
 * namespace. No pod's network is made meanwhile. Throws INVALID_CONFIG when the configured networks cannot be read.
 */
export async function checkNetworks(input: CommandInput, repair: boolean): Promise<NetworkLook> {
  const { engine } = input;
  const remover = removerOf(input);
  const networks = configuredNetworks(engine.localConfigDir, () => {});
  const where = { dirs: pluginDirs(engine.localConfigDir, []), emit: engine.emit };
  const lock = await lockSetUps(linux, "exclusive");
  try {
    const pods: NetworkLook["pods"][number][] = [];
    const findings: NetworkFinding[] = [];
    const known: KnownPod[] = [];
    const note = async (problem: NetworkProblem, severity: NetworkFinding["severity"] = "damage") => {
      findings.push({ problem, severity, ...(repair ? await mend(problem) : NOT_TRIED) });
    };
    for (const pod of eachPod(remover, POD_STATE_DIRS, remover.tell)) {
      if (pod.state === "running") {
        const context = {
          uuid: pod.uuid,
          podDir: pod.dir,
          localConfigDir: engine.localConfigDir,
          stage1NetDirs: [],
          emit: engine.emit,
          host: linux,
        };
        const { networks: checked, problems } = await checkPodNetwork(context, livingProcess(pod));
        pods.push(...checked.map((network) => ({ uuid: pod.uuid, ...network })));
        for (const problem of problems) await note(problem);
      } else if (hasNetwork(pod)) {
        const message = "it has ended, and its network is still there: rkt gc, or rkt rm, gives it back";
        const mend = async () => void (await giveNetworkBack(engine, remover, pod));
        await note({ kind: "ended", pod: pod.uuid, network: undefined, message, mend }, "leftover");
      }
      if (pod.state === "running" || hasNetwork(pod)) known.push({ uuid: pod.uuid, podDir: pod.dir });
    }
    for (const problem of await findLeftovers(linux, known, networks)) await note(problem);
    for (const problem of await checkStatus(networks, where)) await note(problem);
    const { collected, problems } = repair ? await collectGarbage(known, networks, where) : NOTHING_COLLECTED;
    for (const problem of problems) await note(problem);
    return { pods, findings, collected };
  } finally {
    closeSync(lock);
  }
}

const NOT_TRIED = { mended: false, failure: undefined };
const NOTHING_COLLECTED = { collected: [], problems: [] };

async function mend(problem: NetworkProblem): Promise<Pick<NetworkFinding, "mended" | "failure">> {
  if (problem.mend === undefined) return NOT_TRIED;
  try {
    await problem.mend();
    return { mended: true, failure: undefined };
  } catch (error) {
    return { mended: false, failure: errorLine(error) };
  }
}

/** A process of the pod: the supervisor that joined its network namespace, or its init. */
function livingProcess(pod: Pod): number | undefined {
  const pid = recordedPid(linux, pod);
  return pid !== undefined && existsSync(`/proc/${pid}/ns/net`) ? pid : undefined;
}

/** "pod \"6c1c…\": text", for people. */
export function findingText({ problem, severity, mended, failure }: NetworkFinding): string {
  const about = [
    ...(problem.pod === undefined ? [] : [`pod ${quoted(problem.pod)}`]),
    ...(problem.network === undefined ? [] : [`network ${quoted(problem.network)}`]),
  ].join(", ");
  const result = mended ? "\n  mended" : failure === undefined ? "" : `\n  not mended: ${failure}`;
  return `${severity}: ${about === "" ? "" : `${about}: `}${problem.message}${result}\n`;
}
