/** Asks the pod's own systemd, by a request (enter-request.ts), to start and stop units. Nothing of the pod is executed outside of it. */

import { replaceFileBeneath } from "../../src/host/beneath.ts";
import type { Host } from "../../src/host/mod.ts";
import {
  makeRequest,
  type PodInit,
  type PodRequest,
  pathOf,
  removeRequest,
  requestStatus,
  startRequest,
} from "./enter-request.ts";

/** What systemctl(1) ends with for a unit that it does not know. */
export const NO_SUCH_UNIT = 5;

/**
 * Carries out `commands`, each the words of one systemctl(1), up to the first that fails, and gives the status of that one, or 0. A command that begins with "-" may
 * fail. Throws WRONG_STATE when the pod ends meanwhile, STAGE1 when its systemd does not react.
 */
export async function manage(host: Host, pod: PodInit, commands: readonly string[]): Promise<number> {
  const id = `manage-${crypto.getRandomValues(Buffer.alloc(6)).toString("hex")}`;
  const request: PodRequest = { host, ...pod, id, unit: `manage@${id}.service` };
  makeRequest(request);
  try {
    const lines = commands.map((command) => (command.startsWith("-") ? `- ${command.slice(1)}` : `+ ${command}`));
    replaceFileBeneath(host, pathOf(pod.root), `rkt/enter/${id}/commands`, `${lines.join("\n")}\n`, 0o600);
    startRequest(request);
    return await requestStatus(request);
  } finally {
    removeRequest(request);
  }
}
