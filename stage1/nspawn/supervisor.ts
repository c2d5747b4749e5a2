/** The command line and environment of systemd-nspawn. */

import type { PodFiles } from "../../src/core/data-dir.ts";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { capabilitySets } from "../../src/spec/appc/mod.ts";
import { levelOf, type PodLabel, type RunArguments } from "../../src/stage1-contract/mod.ts";
import { limitArguments, type NamedLimit } from "./caller-limits.ts";
import { hostRunsSystemd } from "./host-unit.ts";

export interface SupervisorInput {
  readonly run: RunArguments;
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly env: Readonly<Record<string, string>>;
  /** systemd-nspawn must not build a seccomp filter: the pod's is ours (pod-filter.ts), or calls are only counted (log-filter.ts). */
  readonly withoutFilter: boolean;
  readonly limits: readonly NamedLimit[];
  /** The pod's unit is one that machined may know as the pod's (host-unit.ts). */
  readonly registered: boolean;
  /** Those of every pod of its kind. */
  readonly capabilities: readonly string[];
  /** The pod's IPC namespace is made already (sysctl.ts). */
  readonly ownIpc: boolean;
  /** Of a pod under SELinux. */
  readonly label: PodLabel | undefined;
}

export function supervisor(
  files: PodFiles,
  program: readonly [string, ...string[]],
  input: SupervisorInput,
): { path: string; argv: string[]; env: Record<string, string> } {
  const { run, uuid, registered } = input;
  const argv = [
    ...program,
    "--boot",
    "--notify-ready=yes",
    `--register=${registered ? "true" : "false"}`,
    // Always: the unit is a service's, or the pod's own scope. One made by systemd-nspawn would take the pod out of its cgroup, and so out of its limits.
    "--keep-unit",
    `--link-journal=${hostRunsSystemd() ? "try-guest" : "no"}`,
    ...(run.debug ? [] : ["--quiet"]),
    `--uuid=${uuid}`,
    `--machine=rkt-${uuid}`,
    `--hostname=${run.hostname ?? `rkt-${uuid}`}`,
    `--directory=${files.stage1Rootfs}`,
    // The files have their owners already: by mapped mounts, or copied.
    ...(run.privateUsers === undefined ? [] : [`--private-users=${run.privateUsers}`, "--private-users-ownership=off"]),
    "--kill-signal=SIGRTMIN+3",
    "--resolv-conf=off",
    "--timezone=off",
    `--capability=${capabilities(input)}`,
    // The pod's processes, and the file systems of /dev, /run and /tmp that systemd-nspawn mounts for them.
    ...(input.label === undefined
      ? []
      : [`--selinux-context=${input.label.process}`, `--selinux-apifs-context=${input.label.file}`]),
    ...limitArguments(input.limits),
    "--",
    // Units of ours are silent; those that say something write to /dev/console by name. A unit on the "tty" would set the mode of the console at its end.
    "--default-standard-output=null",
    ...(run.debug ? [] : ["--log-target=null", "--show-status=0"]),
  ];
  return { path: program[0], argv, env: environment(input) };
}

/**
 * The context of systemd-nspawn itself: the caller's, with the pod's categories in place of its own. Its sockets have them too, and the policy lets a pod's init tell that it is
 * ready (`/run/host/notify`) only to one that has no category which the pod lacks; a login has all of them. Another pod can tell it nothing.
 */
export function supervisorContext(caller: string, label: PodLabel): string {
  const level = levelOf(label.process);
  return [...caller.split(":").slice(0, 3), `${level.split(":")[0]}-${level}`].join(":");
}

/** nspawn keeps its own default set; what an app asks for beyond it must be in the pod at all. */
function capabilities({ run, manifest, capabilities: always }: SupervisorInput): string {
  if (run.disableCapabilitiesRestriction) return "all";
  const wanted = manifest.apps.flatMap((app) => capabilitySets(app.app?.isolators ?? []).retain ?? []);
  return [...new Set([...always, ...wanted])].join(",");
}

function environment({ run, env, withoutFilter, ownIpc }: SupervisorInput): Record<string, string> {
  return {
    ...env,
    ...(run.debug ? {} : { SYSTEMD_LOG_LEVEL: "err" }),
    SYSTEMD_NSPAWN_CONTAINER_SERVICE: "rkt",
    ...(withoutFilter ? { SYSTEMD_SECCOMP: "0" } : {}),
    ...(run.disablePaths ? { SYSTEMD_NSPAWN_API_VFS_WRITABLE: "yes" } : {}),
    ...(run.ipc === "parent" || ownIpc ? { SYSTEMD_NSPAWN_SHARE_NS_IPC: "true" } : {}),
  };
}
