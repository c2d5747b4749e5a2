/** Which kernel settings belong to a namespace, and so can be a pod's own (sysctl(8); the kernel's admin-guide/sysctl). Pure. */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";

const IPC = /^kernel\.(shmmax|shmall|shmmni|shm_rmid_forced|msgmax|msgmnb|msgmni|sem)$|^fs\.mqueue\.[a-z_]+$/;

/** Names come as with sysctl(8): "net/ipv4/conf/eth0.1/…" where a part has a dot. Throws INVALID_INPUT for a setting of the whole machine. */
export function sysctlNamespace(name: string): "net" | "ipc" {
  if (/^[A-Za-z0-9_.:/-]+$/.test(name) && !/(^|[./])[./]|[./]$/.test(name)) {
    if (/^net[./]/.test(name)) return "net";
    if (IPC.test(name.replaceAll("/", "."))) return "ipc";
  }
  throw new RktError(
    "INVALID_INPUT",
    `Cannot set ${quoted(name)} for a pod: expected a setting of a network namespace (net.…) or of an IPC namespace (kernel.shm…, kernel.msg…, kernel.sem, fs.mqueue.…)`,
    name.startsWith("kernel.hostname") ? { hint: "--hostname sets the pod's name" } : {},
  );
}

/** The setting's file below /proc/sys. */
export function sysctlFile(name: string): string {
  return `/proc/sys/${name.includes("/") ? name : name.replaceAll(".", "/")}`;
}
