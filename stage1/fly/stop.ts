/**
 * Stopping a fly pod: the signal goes to the app, which rkt's process became; or to the shell above it (supervise.ts), which passes it on and starts nothing any more. Then to what the
 * app has started (in rkt 1.x: to its process group): it would outlive the app, and the pod with it, for it has the pod's lock open.
 */

import { existsSync, readFileSync } from "node:fs";
import { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Host, isErrno, SIGNAL } from "../../src/host/mod.ts";
import { processesByPod, signalRooted } from "../../src/host/rooted-processes.ts";
import type { Entrypoint } from "../common/io.ts";

export const stop: Entrypoint = async (argv, { host, podDir }) => {
  const force = argv.includes("--force") || argv.includes("--force=true");
  const uuid = argv.at(-1) ?? "";
  const files = new PodFiles(podDir);
  const supervised = existsSync(files.ppid);
  const first = processNumber(supervised ? files.ppid : files.pid);
  // Before the signal: an app that ends quickly leaves its number to another process.
  const others = (processesByPod().get(uuid) ?? []).filter((pid) => pid !== first);
  try {
    host.kill(first, force ? SIGNAL.KILL : SIGNAL.TERM);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it has ended by itself
  }
  if (force) await killAll(host, uuid);
  else {
    // The shell passes the signal on to the app: twice would mean "at once" to some programs.
    const app = supervised && existsSync(files.pid) ? processNumber(files.pid) : first;
    for (const pid of others) if (pid !== app) signalRooted(host, pid, uuid, SIGNAL.TERM);
  }
  return 0;
};

/** Until none is left, or one does not end: what forks while it is looked for is met in the next round. */
async function killAll(host: Host, uuid: string): Promise<void> {
  for (let round = 0; round < 50; round += 1) {
    const left = processesByPod().get(uuid);
    if (left === undefined) return;
    for (const pid of left) signalRooted(host, pid, uuid, SIGNAL.KILL);
    await Bun.sleep(5);
  }
}

function processNumber(file: string): number {
  const pid = Number(readFileSync(file, "utf8"));
  if (Number.isSafeInteger(pid) && pid > 1) return pid;
  throw new RktError("INVALID_INPUT", `Cannot stop the pod: ${quoted(file)} has no process number`);
}
