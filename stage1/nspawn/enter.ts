/**
 * enter: a command in the context of a running app. Nothing that the pod could have changed is executed outside of it, and nothing of the host is executed inside
 * (CVE-2019-10144, -10145, -10147): rkt leaves a request in the stage1's root and wakes the pod's own systemd, which starts the command as a unit with the
 * app's user, root, cgroup, capabilities and filters (units.ts, enterService). Every path of the pod is opened by descriptor, and no link in it is followed.
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { asFileOwner, type Host, O } from "../../src/host/mod.ts";
import { isAcName } from "../../src/spec/appc/mod.ts";
import { appEnvironment } from "../common/app-environment.ts";
import { COMMAND_NOT_FOUND, findCommand } from "../common/find-binary.ts";
import { type Identity, resolveIdentity } from "../common/identity.ts";
import { openInRoot, readInRoot } from "../common/in-root.ts";
import type { Entrypoint } from "../common/io.ts";
import {
  addIdentity,
  type EnterRequest,
  makeRequest,
  openPod,
  type PodInit,
  removeRequest,
  requestStatus,
  submitRequest,
} from "./enter-request.ts";
import { commandFiles, commandTerminal } from "./enter-stdio.ts";
import { onTerminal } from "./input.ts";
import { commandLine } from "./unit-text.ts";

/** systemd could not execute the command (systemd.exec(5), "Process exit codes"). */
export const NOT_EXECUTED = 203;

export const enter: Entrypoint = async (argv, { host, env }) => {
  const { pid, app, user, command } = parse(argv);
  const pod = openPod(host, pid);
  const inPod = <T>(act: () => T): T => asFileOwner(host, pod.ids, act);
  const { service, environment } = inPod(() => {
    const found = commandOf(host, pod, app, user, command);
    if (found.identity !== undefined) addIdentity(host, pod.root, found.identity);
    return found;
  });
  const id = `enter-${process.pid}`;
  const request: EnterRequest = { host, ...pod, app, id, unit: `enter-${app}@${id}.service` };
  inPod(() => makeRequest(request));
  try {
    const stdio = inPod(() => (onTerminal() ? commandTerminal(request) : commandFiles(request)));
    if (stdio.terminal && env["TERM"] !== undefined) environment.set("TERM", env["TERM"]);
    try {
      inPod(() => submitRequest(request, [...service, ...stdio.lines], environment));
      const status = await requestStatus(request);
      if (status === NOT_EXECUTED) return COMMAND_NOT_FOUND;
      await stdio.drained();
      return status;
    } finally {
      stdio.close();
    }
  } finally {
    removeRequest(request);
  }
};

/** What runs, and as whom where that is not the app's user (`identity`, which the pod's systemd must know); `environment` is added to the app's. Throws NOT_FOUND for a program or user that the app's root lacks. */
export function commandOf(
  host: Host,
  { root: podRoot, ids }: Pick<PodInit, "root" | "ids">,
  app: string,
  user: string,
  command: readonly string[],
): { service: string[]; environment: Map<string, string>; identity: Identity | undefined } {
  const root = openInRoot(host, podRoot, `opt/stage2/${app}/rootfs`, O.PATH | O.DIRECTORY);
  try {
    const path = /^PATH="(.*)"$/m.exec(readInRoot(host, podRoot, `rkt/env/${app}`))?.[1] ?? "";
    const program = findCommand(host, root, command[0] ?? "", path);
    const service = [`ExecStart=${commandLine([program, ...command.slice(1)])}`];
    if (user === "") return { service, environment: new Map(), identity: undefined };
    const identity = resolveIdentity(host, root, { user, group: user, supplementaryGids: [] }, ids);
    service.push(`User=${identity.uid}`, `Group=${identity.gid}`, "SupplementaryGroups=");
    const own = [...appEnvironment(app, [], identity)].filter(([name]) => /^(USER|LOGNAME|HOME)$/.test(name));
    return { service, environment: new Map(own), identity };
  } finally {
    host.close(root);
  }
}

/** `--pid=N --appname=A [--user=U] -- CMD…` (docs/stage1-contract.md). Throws USAGE. */
export function parse(argv: readonly string[]): { pid: number; app: string; user: string; command: readonly string[] } {
  const end = argv.indexOf("--");
  const flags = end < 0 ? argv : argv.slice(0, end);
  const value = (name: string) => flags.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
  const pid = Number(value("pid"));
  const app = value("appname");
  const command = end < 0 ? [] : argv.slice(end + 1);
  if (!Number.isSafeInteger(pid) || pid < 2) {
    throw new RktError("USAGE", `Cannot enter the pod: ${quoted(value("pid"))} is no process number`);
  }
  if (!isAcName(app)) throw new RktError("USAGE", `Cannot enter the pod: ${quoted(app)} is no app name`);
  if (command.length === 0) throw new RktError("USAGE", "Cannot enter the pod: no command was given");
  return { pid, app, user: value("user"), command };
}
