/** Many at once: fetches of one image into an empty store, runs of it, and a collector among them. All must succeed. */

import { join } from "node:path";
import { runProgram } from "../harness/temporary.ts";
import { collect, FLY, type Ground, ground, INSECURE, leaks, type PartResult, type Say } from "./part.ts";

const CROWD = 10;

export async function crowds(rounds: number, say: Say): Promise<PartResult[]> {
  using place = ground();
  const seed = join(place.rkt.dir, "seed");
  runProgram(["cp", "--archive", place.rkt.dataDir, seed]);
  const fetching: string[] = [];
  const running: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    runProgram(["rm", "-rf", "--one-file-system", place.rkt.dataDir]);
    runProgram(["cp", "--archive", seed, place.rkt.dataDir]);
    fetching.push(...(await allSucceed(place, round, fetches(place))));
    running.push(...(await allSucceed(place, round, runs(place))));
    running.push(...collect(place.rkt));
    say(`crowds: ${round + 1} of ${rounds}`);
  }
  running.push(...(await leaks(place)));
  const counts = `${rounds} rounds`;
  return [
    { what: `${CROWD} fetches of one image at once, into an empty store`, counts, findings: fetching },
    { what: `${CROWD} runs of it at once (nspawn and fly), beside list and gc`, counts, findings: running },
  ];
}

function fetches({ large }: Ground): string[][] {
  return Array.from({ length: CROWD }, () => [...INSECURE, "fetch", large]);
}

function runs({ large }: Ground): string[][] {
  const pods = Array.from({ length: CROWD }, (_, at) => [...INSECURE, "run", ...(at % 2 === 0 ? [FLY] : []), large]);
  return [...pods, ["list"], ["gc", "--grace-period=0s"], ["list", "--format=json"]];
}

async function allSucceed({ rkt }: Ground, round: number, commands: readonly string[][]): Promise<string[]> {
  const results = await Promise.all(commands.map((args) => rkt.start(args).ended));
  return results.flatMap((result, at) =>
    result.status === 0
      ? []
      : [`round ${round}: rkt ${commands[at]?.join(" ")}: status ${result.status}: ${result.stderr.trim()}`],
  );
}
