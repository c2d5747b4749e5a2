/**
 * The unit of the host's systemd that a pod runs in. A service that started rkt keeps its pod: it supervises it, and its limits hold. Anything else that rkt was
 * started from must not become the pod's unit: a login session would be what "machinectl terminate" ends, and what ends the pod at log-out. From there the
 * pod gets a scope of its own in machine.slice, with the name that systemd-nspawn would give it. It is made before the pod's cgroup, which then lies in it.
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { PodUuid } from "../../src/core/uuid.ts";
import { detectCgroups } from "../../src/host/cgroup.ts";
import type { Stage1Io } from "../common/io.ts";

/** sd_booted(3). */
export function hostRunsSystemd(): boolean {
  return existsSync("/run/systemd/system");
}

/**
 * Moves this process into a scope where it needs one. True when machined can be told of the pod: systemd and D-Bus are there, and the pod has a unit of which
 * it is all there is, or a service's. Where the scope is refused, the pod runs unregistered.
 */
export async function enterHostUnit(io: Stage1Io, uuid: PodUuid): Promise<boolean> {
  if (!hostRunsSystemd() || !existsSync("/run/dbus/system_bus_socket")) return false;
  if (isServicesOwn(ownCgroup())) return true;
  const scope = scopeName(uuid);
  const problem = startScope(scope, uuid) ?? (await arrival(scope));
  if (problem !== undefined)
    io.emit({
      kind: "warning",
      text: `the pod is not registered with machined: the host's systemd made no scope for it (${problem})`,
    });
  return problem === undefined;
}

/** `machine-rkt\x2dUUID.scope`: systemd's escape for the hyphens (systemd.unit(5)). */
export function scopeName(uuid: PodUuid): string {
  return `machine-rkt\\x2d${uuid.replaceAll("-", "\\x2d")}.scope`;
}

/** Pure: the cgroup is a system service's, and not a login session's or one of a user's own service manager (rkt 1.x: "running from a system service"). */
export function isServicesOwn(cgroup: string): boolean {
  const parts = cgroup.split("/");
  return parts.some((part) => part.endsWith(".service")) && !parts.some((part) => /^user@.*\.service$/.test(part));
}

/** In the hierarchy where systemd keeps its units: the first one. */
function ownCgroup(): string {
  return detectCgroups().hierarchies[0]?.own ?? "/";
}

/** By the host's own client. What went wrong, or undefined. Delegate: the pod's systemd makes cgroups of its own below. */
function startScope(scope: string, uuid: PodUuid): string | undefined {
  const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
  const properties = [
    ...["Description", "s", `rkt pod ${uuid}`],
    ...["Slice", "s", "machine.slice"],
    ...["PIDs", "au", "1", String(process.pid)],
    ...["Delegate", "b", "true"],
    ...["CollectMode", "s", "inactive-or-failed"],
  ];
  const { status, stderr, error } = spawnSync(
    "/usr/bin/busctl",
    [
      "--system",
      "--quiet",
      "call",
      ...manager,
      "StartTransientUnit",
      "ssa(sv)a(sa(sv))",
      scope,
      "fail",
      "5",
      ...properties,
      "0",
    ],
    { encoding: "utf8", env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" }, timeout: 25_000 },
  );
  if (status === 0) return undefined;
  return error?.message ?? (stderr.trim() || `busctl ended with status ${status}`);
}

/** The call only queues the job. */
async function arrival(scope: string): Promise<string | undefined> {
  for (let waited = 0; waited < 25_000; waited += 5) {
    if (ownCgroup().split("/").includes(scope)) return undefined;
    await Bun.sleep(5);
  }
  return "it did not start in 25 seconds";
}
