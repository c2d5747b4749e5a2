/** Pods whose apps come and go, as an orchestrator drives them, many times: nothing may be left. */

import { orchestrate } from "../harness/orchestrator.ts";
import { ground, INSECURE, leaks, type PartResult, type Say } from "./part.ts";

export async function orchestrated(rounds: number, say: Say): Promise<PartResult[]> {
  using place = ground();
  const id = place.rkt.ok([...INSECURE, "fetch", "--full", place.image]).trim();
  const findings: string[] = [];
  for (let round = 0; round < rounds && findings.length < 20; round += 1) {
    findings.push(...(await orchestrate(place.rkt, id)).findings.map((text) => `round ${round}: ${text}`));
    if (round % 10 === 9) say(`orchestrated: ${round + 1} of ${rounds}`);
  }
  findings.push(...(await leaks(place)));
  const counts = `${rounds} rounds: sandbox, three apps added and started, one restarted, one entered, all stopped and removed`;
  return [{ what: "apps of running pods", counts, findings }];
}
