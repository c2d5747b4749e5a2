/** A bound for a worker's memory. */

import { readFileSync } from "node:fs";
import type { Host } from "./host.ts";

const RLIMIT_DATA = 2;

/** Bytes of memory that a worker may map beyond what its start took: the runtime reserves gigabytes of addresses, so the limit counts from there. Called by the worker itself. */
export function limitMemory(host: Host, bytes: number): void {
  const kilobytes = /^VmData:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) return;
  const most = BigInt(Number(kilobytes) * 1024 + bytes);
  host.setLimit(RLIMIT_DATA, { soft: most, hard: most });
}
