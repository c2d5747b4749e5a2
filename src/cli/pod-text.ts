/** Words about pods that several commands print. */

import { quoted } from "../core/text.ts";
import type { Pod, PodNetwork } from "../pod/mod.ts";

/** "default:ip4=172.16.28.2, other:ip4=10.1.2.3". */
export function networksText(networks: readonly PodNetwork[]): string {
  return networks.map(({ netName, ip }) => `${netName}:ip4=${ip ?? "<nil>"}`).join(", ");
}

/** rkt 1.x's words, which orchestrators match. */
export function alreadyStopped({ uuid }: Pick<Pod, "uuid">): string {
  return `pod ${quoted(uuid)} is already stopped\n`;
}

/** The note on a pod that runs without its supervisor. */
export function lostSupervisorNote(pod: Pod): string {
  return `pod ${quoted(pod.uuid)} has lost its supervisor, but processes of it are left: "rkt stop ${pod.uuid}" ends them`;
}
