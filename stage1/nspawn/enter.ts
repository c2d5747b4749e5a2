/**
 * enter: a command in a running app's file system. The pod's own systemd starts it as a transient unit, asked by the stage1's systemd-run inside the pod's mount
 * namespace: nothing of the app is executed before the command has the app's root, capabilities and filter, and no executable of the host is ever visible in the
 * pod (CVE-2019-10144, -10145, -10147).
 */

import { spawnSync } from "node:child_process";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { isAcName } from "../../src/spec/appc/mod.ts";
import type { Entrypoint } from "../common/io.ts";
import { definedVariables } from "../common/pod.ts";
import { DEFAULT_CAPABILITIES } from "./units.ts";

export const enter: Entrypoint = async (argv, io) => {
  const { pid, app, command } = parse(argv);
  const properties = [
    `RootDirectory=/opt/stage2/${app}/rootfs`,
    "MountAPIVFS=no",
    "BindPaths=/proc:/proc:rbind /sys:/sys:rbind /dev:/dev:rbind",
    `EnvironmentFile=/rkt/env/${app}`,
    `CapabilityBoundingSet=${DEFAULT_CAPABILITIES.join(" ")}`,
    "InaccessiblePaths=-+/sys/fs -+/sys/firmware -+/proc/kcore -+/proc/kallsyms",
  ];
  const result = spawnSync(
    "nsenter",
    [
      `--target=${pid}`,
      "--mount",
      "--uts",
      "--ipc",
      "--net",
      "--pid",
      "--",
      "/usr/bin/systemd-run",
      "--quiet",
      "--collect",
      "--wait",
      "--pipe",
      "--service-type=exec",
      ...properties.map((property) => `--property=${property}`),
      "--",
      ...command,
    ],
    { stdio: "inherit", env: { ...definedVariables(io.env), PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  if (result.error !== undefined) {
    throw new RktError("HOST_PROGRAM", 'Cannot start "nsenter"', { cause: result.error, hint: "install util-linux" });
  }
  return result.status ?? 254;
};

/** `--pid=N --appname=A -- CMD…` (docs/stage1-contract.md). Throws USAGE. */
function parse(argv: readonly string[]): { pid: number; app: string; command: readonly string[] } {
  const end = argv.indexOf("--");
  const flags = end < 0 ? argv : argv.slice(0, end);
  const value = (name: string) => flags.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
  const pid = Number(value("pid"));
  const app = value("appname");
  const command = end < 0 ? [] : argv.slice(end + 1);
  if (!Number.isSafeInteger(pid) || pid < 2)
    throw new RktError("USAGE", `Cannot enter the pod: ${quoted(value("pid"))} is no process number`);
  if (!isAcName(app)) throw new RktError("USAGE", `Cannot enter the pod: ${quoted(app)} is no app name`);
  if (command.length === 0) throw new RktError("USAGE", "Cannot enter the pod: no command was given");
  return { pid, app, command };
}
