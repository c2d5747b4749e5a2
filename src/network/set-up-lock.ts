/**
 * While a pod's network is being made, parts of it belong to nobody that could be seen: a namespace without a process, a lease without a namespace. Every set-up holds this
 * lock, shared, until its process executes the pod's supervisor (the descriptor is close-on-exec) or dies; who looks for leftovers holds it alone.
 */

import { closeSync, mkdirSync, openSync } from "node:fs";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";

const DIRECTORY = "/run/rkt";
const FILE = `${DIRECTORY}/network.lock`;

/** Milliseconds. A repair takes a second or two for hundreds of pods. */
const PATIENCE = 120_000;

/** The descriptor that holds the lock. Throws CONFLICT when it is not to be had. */
export async function lockSetUps(host: Host, mode: "shared" | "exclusive"): Promise<number> {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const fd = openSync(FILE, "a", 0o600);
  try {
    await lockWithBackoff(host, fd, mode, { what: "the networks of this host", timeout: PATIENCE });
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
