/** Words about pods that several commands print. */

import { quoted } from "../core/text.ts";
import type { Pod, PodNetwork } from "../pod/mod.ts";

/** "default:ip4=172.16.28.2, dual:ip4=10.1.2.3,ip6=fd00::3". */
export function networksText(networks: readonly PodNetwork[]): string {
  const more = (ip6: string | undefined) => (ip6 === undefined ? "" : `,ip6=${ip6}`);
  return networks.map(({ netName, ip, ip6 }) => `${netName}:ip4=${ip ?? "<nil>"}${more(ip6)}`).join(", ");
}

/** rkt 1.x's words, which orchestrators match. */
export function alreadyStopped({ uuid }: Pick<Pod, "uuid">): string {
  return `pod ${quoted(uuid)} is already stopped\n`;
}

/** The note on a pod that runs without its supervisor. */
export function lostSupervisorNote(pod: Pod): string {
  return `pod ${quoted(pod.uuid)} has lost its supervisor, but processes of it are left: "rkt stop ${pod.uuid}" ends them`;
}
