/** What the parts of `make soak` have in common. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { buildBusyboxOci, type Files } from "../harness/images.ts";
import { type Census, type CensusScope, censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

export type Say = (text: string) => void;

export interface PartResult {
  /** "run and gc, nspawn, default network". */
  readonly what: string;
  /** What was counted: "200 rounds". */
  readonly counts: string;
  /** Empty: nothing wrong. */
  readonly findings: readonly string[];
}

export interface Part {
  readonly name: string;
  readonly seconds: number;
  readonly results: readonly PartResult[];
}

export const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";
export const INSECURE = ["--insecure-options=image"] as const;

/** A machine's state before, and rkt with directories of its own; at the end of the block all is removed. */
export interface Ground {
  readonly rkt: TestRkt;
  readonly scope: CensusScope;
  readonly before: Census;
  /** `oci:…` of an image of busybox with port 80; and of a larger one. */
  readonly image: string;
  readonly large: string;
  [Symbol.dispose](): void;
}

export function ground(): Ground {
  const rkt = testRkt();
  const scope = censusScope(["/tmp", ...["pods", "cas/tmp", "tmp"].map((name) => join(rkt.dataDir, name))]);
  const layout = join(rkt.dir, "image");
  mkdirSync(layout);
  buildBusyboxOci(layout, { cmd: ["/bin/true"], ports: ["80/tcp"], layers: [{ usr: null }] });
  const large = join(rkt.dir, "large");
  mkdirSync(large);
  buildBusyboxOci(large, { cmd: ["/bin/true"], layers: [{ usr: null, ...manyFiles("a") }, manyFiles("b")] });
  rkt.ok([...INSECURE, "fetch", `oci:${layout}:latest`]);
  // Both stage1s are in the store then, and the directories of pods are there.
  for (const stage1 of [[FLY], []]) rkt.ok([...INSECURE, "run", ...stage1, "--net=none", `oci:${layout}:latest`]);
  collect(rkt);
  return {
    rkt,
    scope,
    before: takeCensus(scope),
    image: `oci:${layout}:latest`,
    large: `oci:${large}:latest`,
    [Symbol.dispose]: () => {
      rkt[Symbol.dispose]();
      scope[Symbol.dispose]();
    },
  };
}

function manyFiles(name: string): Files {
  return Object.fromEntries(
    Array.from({ length: 1000 }, (_, at) => [`srv/${name}/${at % 40}/file-${at}`, `${name} ${at} `.repeat(300)]),
  );
}

/** A copy of a data directory in the place of another. */
export function copy(from: string, to: string): void {
  runProgram(["rm", "-rf", "--one-file-system", to]);
  runProgram(["cp", "--archive", from, to]);
}

/** `rkt gc` of everything that may go at once. Gives what it complained about. */
export function collect(rkt: TestRkt): string[] {
  const result = rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  return result.status === 0 ? [] : [`gc: status ${result.status}: ${result.stderr.trim()}`];
}

export async function leaks({ scope, before }: Ground): Promise<string[]> {
  return (await leftBehind(scope, before)).map((line) => `left behind: ${line}`);
}
