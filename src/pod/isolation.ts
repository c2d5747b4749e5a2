/** What keeps a pod apart: what its stage1 wrote down, and stage0 of its measurement, and for a running pod what the kernel says. */

import { readlinkSync } from "node:fs";
import type { Host } from "../host/host.ts";
import { type Isolation, NAMESPACE_NAMES, parseIsolation } from "../stage1-contract/isolation.ts";
import { firstProcess } from "./claim.ts";
import type { Pod } from "./find.ts";
import { readPodFile } from "./read.ts";

/** Names below /proc/PID/ns (proc_pid_ns(5)). */
const FILES = { mount: "mnt", network: "net", userns: "user" } as const;

/**
 * Undefined for a pod that has not run, or whose stage1 left no record. Of the namespaces of a running pod only those count that its first process really has; a
 * caller who may not look at it gets the record. A virtual machine's are inside, where no host sees them.
 */
export function podIsolation(host: Host, pod: Pod): Isolation | undefined {
  const text = readPodFile(host, pod, "isolation", 4096)?.text;
  const measured = readPodFile(host, pod, "measured", 4096)?.text;
  if (text === undefined && measured === undefined) return undefined;
  // By stage0, whatever the stage1 says.
  const own = measured === undefined ? "" : `measured=${measured}`;
  const recorded = parseIsolation(`${text?.replace(/^measured.*$/gm, "") ?? ""}\n${own}`);
  if (pod.state !== "running" || pod.supervisorLost || recorded.has("vm")) return recorded;
  const pid = firstProcess(host, pod);
  if (pid === undefined) return recorded;
  const shared = NAMESPACE_NAMES.filter((name) => sharesNamespace(pid, name));
  return new Map([...recorded].filter(([name]) => !shared.some((other) => other === name)));
}

function sharesNamespace(pid: number, name: (typeof NAMESPACE_NAMES)[number]): boolean {
  const file = Object.hasOwn(FILES, name) ? FILES[name as keyof typeof FILES] : name;
  try {
    return readlinkSync(`/proc/${pid}/ns/${file}`) === readlinkSync(`/proc/self/ns/${file}`);
  } catch {
    return false; // It has ended, or it is not ours to look at.
  }
}
