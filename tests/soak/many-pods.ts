/** Pods with the default network and a forwarded port, started and collected in a loop, many at once: each status right everywhere, no address given twice, nothing left. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Ground, ground, INSECURE, leaks, type PartResult, type Say } from "./part.ts";

export async function manyPods(total: number, atOnce: number, say: Say): Promise<PartResult[]> {
  using place = ground();
  const findings: string[] = [];
  const addresses = new Set<string>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < total) {
      const number = next;
      next += 1;
      findings.push(...(await onePod(place, number, addresses)).map((text) => `pod ${number}: ${text}`));
      if (number % 30 === 29) say(`pods: ${number + 1} of ${total}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  findings.push(...(await leaks(place)));
  const check = place.rkt.run(["net", "check"]);
  if (check.status !== 0) findings.push(`net check: status ${check.status}: ${check.stdout}${check.stderr}`);
  const what = `pods with the default network and a port, started, asked for and removed, ${atOnce} at once`;
  return [{ what, counts: `${total} pods`, findings }];
}

async function onePod({ rkt, image }: Ground, number: number, addresses: Set<string>): Promise<string[]> {
  const wanted = number % 5;
  const uuidFile = join(rkt.dir, `uuid-${number}`);
  const run = rkt.start([
    ...[...INSECURE, "run", "--net=default", `--port=80-tcp:${20_000 + number}`, `--uuid-file-save=${uuidFile}`],
    ...[image, "--name=app", "--exec=/bin/sh", "--", "-c", `exit ${wanted}`],
  ]);
  const { status, stderr } = await run.ended;
  if (status !== wanted) return [`run: status ${status}, expected ${wanted}: ${stderr.trim()}`];
  const uuid = readFileSync(uuidFile, "utf8").trim();
  const findings: string[] = [];
  const asked = await rkt.start(["status", "--format=json", uuid]).ended;
  const pod: PodStatus = JSON.parse(asked.stdout === "" ? "{}" : asked.stdout);
  const code = pod.apps?.[0]?.exit_code;
  if (pod.state !== "exited" || code !== wanted)
    findings.push(`status: ${pod.state} ${code}, expected exited ${wanted}`);
  const ip = pod.networks?.[0]?.ip ?? "no address";
  if (addresses.has(ip)) findings.push(`address ${ip} belongs to another pod`);
  addresses.add(ip);
  const listed = await rkt.start(["list", "--format=json"]).ended;
  if (!listed.stdout.includes(uuid)) findings.push(`list: does not have ${uuid}: ${listed.stderr.trim()}`);
  // From here on another pod may get it.
  addresses.delete(ip);
  const removed = await rkt.start(["rm", uuid]).ended;
  if (removed.status !== 0) findings.push(`rm: status ${removed.status}: ${removed.stderr.trim()}`);
  return findings;
}

interface PodStatus {
  readonly state?: string;
  readonly apps?: readonly { readonly exit_code?: number }[];
  readonly networks?: readonly { readonly ip?: string }[];
}
