/** Pods that run and go, many times: what one of them leaves behind, two hundred show. */

import { collect, FLY, type Ground, ground, INSECURE, leaks, type PartResult, type Say } from "./part.ts";

export async function loops(rounds: number, say: Say): Promise<PartResult[]> {
  using place = ground();
  return [
    await loop(place, "nspawn, default network, a forwarded port", ["--port=80-tcp:18080"], rounds, say),
    await loop(place, "fly", [FLY], rounds, say),
  ];
}

async function loop(
  place: Ground,
  name: string,
  flags: readonly string[],
  rounds: number,
  say: Say,
): Promise<PartResult> {
  const findings: string[] = [];
  const descriptors = new Set<string>();
  const { rkt, image } = place;
  for (let round = 0; round < rounds && findings.length < 20; round += 1) {
    const status = round % 3 === 0 ? 42 : 0;
    const app = [image, "--exec=/bin/sh", "--", "-c", `ls /proc/self/fd; exit ${status}`];
    const result = rkt.run([...INSECURE, "run", ...flags, ...app]);
    if (result.status !== status) findings.push(`round ${round}: status ${result.status}: ${result.stderr.trim()}`);
    descriptors.add(result.stdout.replace(/\s+/g, " ").trim());
    findings.push(...collect(rkt).map((text) => `round ${round}: ${text}`));
    if (round % 10 === 9) say(`${name}: ${round + 1} of ${rounds}`);
  }
  findings.push(...(await leaks(place)));
  // A descriptor that leaks into apps at times is seen in some rounds.
  if (descriptors.size !== 1) findings.push(`apps saw different descriptors: ${[...descriptors].join(" | ")}`);
  const counts = `${rounds} rounds; descriptors of each app: ${[...descriptors].join(" | ")}`;
  return { what: `run and gc, ${name}`, counts, findings };
}
