/** The system calls that an app made and its filter denies: what its recorder wrote (`--seccomp=mode=log`; docs/system-calls.md). */

import type { Host } from "../host/host.ts";
import { DENIED_CALLS_DIRECTORY } from "../stage1-contract/files.ts";
import { stage1Path } from "./app-status.ts";
import type { Pod } from "./find.ts";
import { readPodFile } from "./read.ts";

/** How often each was made, by name (a number for one without a known name), sorted; undefined for an app that is not, or has never been, run that way. */
export function deniedCalls(host: Host, pod: Pod, app: string): ReadonlyMap<string, number> | undefined {
  const path = `${stage1Path(host, pod, DENIED_CALLS_DIRECTORY)}/${app}`;
  const text = readPodFile(host, pod, path, 65536)?.text;
  return text === undefined ? undefined : parseDeniedCalls(text);
}

/** Lines `NAME COUNT`. The pod can write there: anything else is passed over. */
export function parseDeniedCalls(text: string): Map<string, number> {
  const lines = text.split("\n").map((line) => /^([a-z0-9_]{1,40}) ([0-9]{1,15})$/.exec(line));
  const found = lines.flatMap((match): [string, number][] =>
    match?.[1] === undefined ? [] : [[match[1], Number(match[2])]],
  );
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}
