/** What every flavor's `run` reads first: its arguments and the pod's manifest. */

import { readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type PodManifest, parsePodManifest } from "../../src/spec/appc/mod.ts";
import type { RunArguments } from "../../src/stage1-contract/mod.ts";
import { parseRunArguments } from "../../src/stage1-contract/mod.ts";

export interface RunRequest {
  readonly run: RunArguments;
  readonly manifest: PodManifest;
  readonly files: PodFiles;
}

export function readRunRequest(argv: readonly string[], podDir: string): RunRequest {
  const files = new PodFiles(podDir);
  let text: string;
  try {
    text = readFileSync(files.manifest, "utf8");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read the pod's manifest ${quoted(files.manifest)}`, { cause });
  }
  return { run: parseRunArguments(argv), manifest: parsePodManifest(text), files };
}

/** The supervisor's environment as execve(2) takes it. */
export function definedVariables(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) defined[name] = value;
  return defined;
}

/** The number of the descriptor that holds the pod's lock (RKT_LOCK_FD). Throws STAGE1: without it nobody could tell that the pod runs. */
export function lockDescriptor(env: Readonly<Record<string, string | undefined>>): number {
  const text = env.RKT_LOCK_FD ?? "";
  if (!/^[0-9]{1,9}$/.test(text))
    throw new RktError(
      "STAGE1",
      `Cannot run the pod: RKT_LOCK_FD is ${quoted(text)}, expected the number of a descriptor`,
    );
  return Number(text);
}
