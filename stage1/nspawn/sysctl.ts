/** Kernel settings of the pod's own namespaces (os/unix/sysctl), written before its systemd makes /proc/sys read-only. */

import { writeFileSync } from "node:fs";
import { RktError } from "../../src/core/errors.ts";
import type { IdRange } from "../../src/core/id-range.ts";
import { quoted } from "../../src/core/text.ts";
import { CLONE, type Host, isErrno } from "../../src/host/mod.ts";
import { type PodManifest, sysctlFile, sysctlNamespace, sysctls } from "../../src/spec/appc/mod.ts";

export interface PodSysctls {
  readonly net: readonly (readonly [string, string])[];
  readonly ipc: readonly (readonly [string, string])[];
}

/** Throws INVALID_INPUT for a setting that is the host's: none such is ever written. */
export function podSysctls(
  manifest: PodManifest,
  own: { net: boolean; ipc: boolean; ids?: IdRange | undefined },
): PodSysctls {
  const settings = sysctls(manifest.isolators);
  const of = (namespace: "net" | "ipc") => settings.filter(([name]) => sysctlNamespace(name) === namespace);
  const all = { net: of("net"), ipc: of("ipc") };
  for (const [namespace, flag] of [
    ["net", "--net=host"],
    ["ipc", "--ipc=parent"],
  ] as const) {
    const [first] = all[namespace];
    if (first !== undefined && !own[namespace]) {
      throw new RktError("INVALID_INPUT", `Cannot set ${quoted(first[0])} for the pod: with ${flag} it is the host's`);
    }
  }
  if (own.ids === undefined || !own.net) return all;
  const usual = withoutPrivileges(own.ids).filter(([name]) => !all.net.some(([other]) => other === name));
  return { ...all, net: [...usual, ...all.net] };
}

/**
 * The network belongs to the host's users, so the pod's root has no privileges in it: what root may do in every other pod, open ports below 1024 and ping, is
 * allowed to all of the pod's users instead (ip(7), icmp(7)).
 */
function withoutPrivileges({ shift, count }: IdRange): [string, string][] {
  return [
    ["net.ipv4.ip_unprivileged_port_start", "0"],
    ["net.ipv4.ping_group_range", `${shift} ${shift + count - 1}`],
  ];
}

/**
 * Writes them, in the pod's network namespace. For those of an IPC namespace this process moves into a new one, which systemd-nspawn is told to keep. Synchronous, on
 * the main thread: what /proc/sys shows is the calling thread's. Throws INVALID_INPUT when the kernel refuses a value.
 */
export function writeSysctls(host: Host, { net, ipc }: PodSysctls): void {
  for (const [name, value] of net) write(name, value);
  if (ipc.length === 0) return;
  host.unshare(CLONE.NEWIPC);
  for (const [name, value] of ipc) write(name, value);
}

function write(name: string, value: string): void {
  try {
    writeFileSync(sysctlFile(name), value, { flag: "r+" });
  } catch (cause) {
    const why = isErrno(cause, "ENOENT") ? "this kernel has no such setting" : "the kernel refuses it";
    throw new RktError("INVALID_INPUT", `Cannot set ${quoted(name)} to ${quoted(value)} for the pod: ${why}`, {
      cause,
    });
  }
}
