/** Bytes on the disk, as du(1) counts them. */

import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "./errno.ts";

/** Counts each file once, whatever its number of names: one for a whole report. */
export interface UsageCount {
  readonly seen: Set<string>;
  /** Only this file system; set by the first file that is met. */
  device: bigint | undefined;
}

export function usageCount(): UsageCount {
  return { seen: new Set(), device: undefined };
}

/**
 * Bytes of `path` and all below it, in blocks that are taken (holes take none); 0 for what `count` has seen, lies on another file system, or is gone. `visit` gets every
 * path and its own bytes. Nothing but sizes is learned, so that a link which somebody puts in the way leads to a wrong sum and no further.
 */
export function diskUsage(path: string, count: UsageCount, visit?: (path: string, bytes: number) => boolean): number {
  let total = 0;
  // A list instead of recursion: the depth of a tree is an image's choice.
  const paths: (string | Buffer)[] = [path];
  for (let next = paths.pop(); next !== undefined; next = paths.pop()) {
    const status = lstatSync(next, { bigint: true, throwIfNoEntry: false });
    if (status === undefined) continue;
    count.device ??= status.dev;
    const key = `${status.ino}`;
    if (status.dev !== count.device || count.seen.has(key)) continue;
    if (status.nlink > 1n || status.isDirectory()) count.seen.add(key);
    const bytes = Number(status.blocks) * 512;
    total += bytes;
    const descend = visit?.(next.toString(), bytes) ?? true;
    if (!status.isDirectory() || !descend) continue;
    for (const name of list(next)) paths.push(below(next, name));
  }
  return total;
}

function list(directory: string | Buffer): Buffer[] {
  try {
    return readdirSync(directory, { encoding: "buffer" });
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return [];
    throw error;
  }
}

/** Names of an image need not be UTF-8. */
function below(directory: string | Buffer, name: Buffer): string | Buffer {
  const text = name.toString("utf8");
  if (typeof directory === "string" && Buffer.from(text).equals(name)) return join(directory, text);
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), name]);
}
